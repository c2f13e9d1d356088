"""The colours of every picture and page: told apart by people who do not see red and green as well."""

from collections.abc import Mapping
from types import MappingProxyType

from casting_core.types import VerdictName

INK, QUIET, LINE, PAPER = "#1d2226", "#5d666d", "#d9d6cf", "#f6f5f2"
VERDICT_COLORS: Mapping[VerdictName, str] = MappingProxyType(
    {"ok": "#2f7d78", "review": "#d99a1c", "defective": "#c8442b"}
)
