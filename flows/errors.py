"""What the flows raise on purpose.

FlowError
└── ScoringIncomplete  some chunks of a run failed; their images stayed backlog
"""


class FlowError(Exception):
    """The root of this package's errors. The message says what happened, to which thing, and what to do."""


class ScoringIncomplete(FlowError):
    """Some chunks of a run failed after all retries; the rest is written, their images stayed backlog."""
