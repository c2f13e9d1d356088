"""Pages of one look in a single file: style and pictures are embedded, so that they need no network and no folder."""

from __future__ import annotations

import base64
from importlib.resources import files
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_page(template: str, **values: Any) -> str:
    """Fill a template of the folder `templates`; `css` is the style of all reports. What is filled in is escaped."""
    environment = Environment(
        loader=PackageLoader("casting_core", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(css=report_css(), **values)


def report_css() -> str:
    """The style sheet of all reports."""
    return files("casting_core").joinpath("templates", "report.css").read_text(encoding="utf-8")


def data_address(content: bytes, kind: Literal["png", "jpeg"]) -> str:
    """Give a picture's content as an address that a page can show without a file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
