"""What each kind of alert says in plain words: its headline, what it is, how sure it is, and what to do now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casting_core.alert_types import PLANT
from casting_core.streams import name_of_stream, shared_by
from casting_core.wording import percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casting_core.alert_types import AlertKind, Finding


def headline(finding: Finding) -> str:
    """The trouble in one line, the place first.

    Such as `line-b: defect rate climbs, 30 % instead of 5 %`.
    """
    return f"{_place(finding)}: {_HEADLINES[finding.kind]}{_instead(finding)}"


def name_of(finding: Finding) -> str:
    """The trouble as something to speak of: `climb of the defect rate on line-b`."""
    if is_grouped(finding):
        return f"{_NAMES[finding.kind]} on {len(finding.evidence['lines'])} lines"
    return f"{_NAMES[finding.kind]} {_where(finding)}"


def what_it_is(finding: Finding) -> str:
    """One sentence on what was found, for somebody who reads of it for the first time."""
    if is_grouped(finding):
        lines = finding.evidence["lines"]
        return f"{_WHAT[finding.kind]} on {len(lines)} lines at the same time: {', '.join(lines)}."
    return f"{_WHAT[finding.kind]} {_where(finding)}."


def rate_words(finding: Finding) -> Iterator[str]:
    """How high the rate is, and what it was before."""
    if finding.observed_rate is None:
        return
    counted = "pictures" if finding.kind == "quarantine_rate_climb" else "parts"
    told = f"Rate: {percent(finding.observed_rate)} of the {counted}"
    if finding.baseline_rate:
        times = finding.observed_rate / finding.baseline_rate
        told += f"; before, it was {percent(finding.baseline_rate)}"
        told += f" ({times:.2g} times as many)" if times > 1 else ""
    yield f"{told}."


def climbing_words(finding: Finding) -> Iterator[str]:
    """Which moulds and the like of a line that climbs are known to climb themselves."""
    climbing = finding.evidence.get("climbing", ())
    if climbing:
        more = f" and {len(climbing) - _MOST_NAMED} more" if len(climbing) > _MOST_NAMED else ""
        yield f"Climbing most: {', '.join(climbing[:_MOST_NAMED])}{more}."


def sureness(finding: Finding) -> Iterator[str]:
    """How far the alert can be trusted: the true rate's interval, and how often it cries wolf."""
    corrected = finding.corrected
    if corrected is not None:
        between = f"{percent(corrected.low)} and {percent(corrected.high)}"
        yield f"How sure: without the model's own errors it is {percent(corrected.rate)}, between {between} (95 %)."
    days = finding.evidence.get("false_alarm_days")
    if days is not None:
        told = "a day" if days == 1 else f"{days:g} days"
        yield f"A false alarm is expected once in {told}, over all lines."


def advice(finding: Finding) -> str:
    """What to do now, for the person at the line."""
    if is_grouped(finding):
        return (
            "look at what these lines share first: light, cameras, the model, the melt. All moulds going wrong at "
            "once is less likely."
        )
    shared = shared_by(finding.stream)
    if shared:
        return _ADVICE_ON_SHARED.format(shared=shared, line=finding.line)
    return _ADVICE[finding.kind].format(line=finding.line or "LINE")


def lines_of(finding: Finding) -> tuple[str, ...]:
    """The lines it is about, () for the whole plant."""
    return tuple(finding.evidence.get("lines", ())) or ((finding.line,) if finding.line != PLANT else ())


def is_grouped(finding: Finding) -> bool:
    """Whether it is about many lines at once."""
    return finding.line == PLANT and len(finding.evidence.get("lines", ())) > 1


def _place(finding: Finding) -> str:
    if is_grouped(finding):
        return f"{len(finding.evidence['lines'])} lines at once"
    return name_of_stream(finding.stream) or "Whole plant"


def _where(finding: Finding) -> str:
    return f"on {name_of_stream(finding.stream)}" if finding.stream else "in the whole plant"


def _instead(finding: Finding) -> str:
    if finding.observed_rate is None or finding.baseline_rate is None:
        return ""
    return f", {percent(finding.observed_rate)} instead of {percent(finding.baseline_rate)}"


_MOST_NAMED = 3
_HEADLINES: dict[AlertKind, str] = {
    "defect_rate_climb": "defect rate climbs",
    "quarantine_rate_climb": "pictures cannot be judged",
    "review_rate_climb": "more parts go to review",
    "score_drift": "the model sees something new",
    "no_images": "no pictures arrive",
    "scoring_stalled": "parts are not being judged",
}
_NAMES: dict[AlertKind, str] = {
    "defect_rate_climb": "climb of the defect rate",
    "quarantine_rate_climb": "pictures that cannot be judged",
    "review_rate_climb": "climb of parts in review",
    "score_drift": "drift of the model's scores",
    "no_images": "no pictures",
    "scoring_stalled": "parts not being judged",
}
_WHAT: dict[AlertKind, str] = {
    "defect_rate_climb": "More parts than usual are judged defective",
    "quarantine_rate_climb": "More pictures than usual cannot be judged",
    "review_rate_climb": "More parts than usual have to be looked at by a person",
    "score_drift": "The model's scores have moved from where they were",
    "no_images": "No pictures have arrived for a while",
    "scoring_stalled": "Pictures wait to be judged for too long",
}
_ADVICE_ON_SHARED = (
    "look at these parts by eye. If they are bad, take {shared} out or repair it, and hold back what came from it "
    "since. The line as a whole ({line}) does not climb."
)
_ADVICE: dict[AlertKind, str] = {
    "defect_rate_climb": (
        "look at these parts by eye. If they are bad, hold back what was made since, and see what changed on the line "
        "at that time: mould, core, melt, tool. If they are sound, check lamp and lens."
    ),
    "quarantine_rate_climb": (
        "check camera, lens, lamp and cable. Parts whose pictures cannot be judged are not inspected: inspect them by "
        "hand."
    ),
    "review_rate_climb": (
        "put somebody on the parts in review. Often light, a dirty lens or a new variant is behind it: compare a "
        "picture of now with one of last week."
    ),
    "score_drift": (
        "compare a picture of now with one of last week: a dirty lens, an ageing lamp or a new variant move the scores "
        "before they move the verdicts."
    ),
    "no_images": (
        "does the line run? If so, check camera, its computer and the network: parts are made and not inspected. If "
        "it stands on purpose: casting alerts maintenance {line} --for 8h"
    ),
    "scoring_stalled": (
        "on the inspection computer run: casting doctor. Pictures are kept and judged later; until then parts are not "
        "inspected."
    ),
}
