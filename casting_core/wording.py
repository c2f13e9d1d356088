"""How numbers are written for people."""

_WHOLE_FROM = 0.1
_NO_BREAK = "\N{NO-BREAK SPACE}"


def percent(rate: float) -> str:
    """A rate as people say it, with two digits that mean something.

    >>> [percent(rate).replace(_NO_BREAK, " ") for rate in (0.142, 0.0214, 0.05, 0.00352, 0)]
    ['14 %', '2.1 %', '5 %', '0.35 %', '0 %']
    """
    return f"{100 * rate:.0f}{_NO_BREAK}%" if rate >= _WHOLE_FROM else f"{100 * rate:.2g}{_NO_BREAK}%"


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "casting"), counted(0, "escape"), counted(2, "loss", "losses")
    ('1 casting', '0 escapes', '2 losses')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
