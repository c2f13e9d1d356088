"""What the flows raise on purpose.

FlowError
├── ScoringIncomplete  some chunks of a run failed; their images stayed backlog
├── SlicesIncomplete   some slices of a long window left images as backlog
├── RollupsWrong       roll-ups differ from a recount
├── ArchiveDamaged     object storage holds something else than was archived
├── ServiceFailed      something that a plant PC needs did not come up
├── AlreadyRunning     another `casting up` uses this home
├── ExtraMissing       a setting asks for a package that is not installed
├── DatabaseNotShared  many machines are to judge, and only one reaches the database
├── ClusterUnavailable the Dask cluster has no scheduler or no worker
├── UnsafeAddress      a server would be open to the network without a password
├── CannotExport       the rows of a query cannot be written to a file
├── AlreadyRegistered  a version is registered already
└── NoGoldenSet        there is nothing to compare models on
"""


class FlowError(Exception):
    """The root of this package's errors. The message says what happened, to which thing, and what to do."""


class ScoringIncomplete(FlowError):
    """Some chunks of a run failed after all retries; the rest is written, their images stayed backlog."""


class SlicesIncomplete(FlowError):
    """Some slices of a long window left images as backlog; starting again passes over the others."""


class RollupsWrong(FlowError):
    """Roll-ups differ from a recount of what they sum up."""


class ArchiveDamaged(FlowError):
    """Object storage gives back something else than was archived."""


class ServiceFailed(FlowError):
    """Something that a plant PC needs did not come up."""


class AlreadyRunning(FlowError):
    """Another `casting up` uses this home."""


class ExtraMissing(FlowError):
    """A setting asks for an optional package that is not installed."""


class DatabaseNotShared(FlowError):
    """Many machines are to judge, but the database is one that only this machine reaches."""


class ClusterUnavailable(FlowError):
    """The Dask scheduler does not answer, or has been without workers for too long."""


class UnsafeAddress(FlowError):
    """A server would be open to the network without a password."""


class NoGoldenSet(FlowError):
    """Models are to be compared, and no golden set was frozen yet."""


class CannotExport(FlowError):
    """The rows of a query cannot be written to a file as they are."""


class AlreadyRegistered(FlowError):
    """A version names one artifact for ever, and that one is registered."""
