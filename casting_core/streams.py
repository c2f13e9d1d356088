"""The streams of parts that are watched: every line, and on each line every value of some part attribute.

    line-a              all parts of a line
    line-a/mould=M7     those of them that came from one mould
    /mould=             the fleet of moulds: what each is compared with while it has little history of its own
    (empty)             the fleet of lines, and the whole plant

A name of a line holds no slash, as keys of pictures are cut at slashes. A mould that serves two lines is two streams:
each line has a camera of its own, and keeps its own production order.
"""

from __future__ import annotations


def attribute_stream(line: str, key: str, value: str) -> str:
    """The stream of those parts of a line that have a value of an attribute."""
    return f"{line}/{key}={value}"


def line_of(stream: str) -> str:
    """The line that a stream's parts are made on; '' for a fleet and the whole plant."""
    return stream.partition("/")[0]


def attribute_of(stream: str) -> tuple[str, str] | None:
    """Key and value of the attribute that a stream's parts share; None for a line."""
    _, slash, rest = stream.partition("/")
    key, _, value = rest.partition("=")
    return (key, value) if slash else None


def fleet_of(stream: str) -> str:
    """The stream that stands for all of its kind: lines, or values of one attribute."""
    attribute = attribute_of(stream)
    return "" if attribute is None else attribute_stream("", attribute[0], "")


def shared_by(stream: str) -> str:
    """What a stream's parts share beside their line, as people say it: `mould M7`; '' for a line."""
    return " ".join(attribute_of(stream) or ())


def name_of_stream(stream: str) -> str:
    """The stream as people say it: `line-a, mould M7`."""
    attribute, line = attribute_of(stream), line_of(stream)
    if attribute is None:
        return stream
    return f"{line}, {shared_by(stream)}" if line else f"{attribute[0]}, all"
