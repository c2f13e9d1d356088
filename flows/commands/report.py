"""`casting report`: a period of the plant's history as one page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from flows.commands.console import fail, messages, plain_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casting_core.history_types import WorstPart
    from casting_core.storage import ObjectStore

_DAYS = 7


def report(
    since: Annotated[
        datetime | None, typer.Option(help=f"Begin of the period; {_DAYS} days before its end by default.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="End of the period; now by default.")] = None,
    line: Annotated[str | None, typer.Option(help="Only this line; all by default.")] = None,
    out: Annotated[Path, typer.Option(help="The page, one HTML file that needs no network.")] = Path("report.html"),
    link_pictures: Annotated[
        bool, typer.Option("--link-pictures", help="Name the pictures' addresses instead of copying them.")
    ] = False,
) -> None:
    """Write a period of the defect history as one page: rates, alerts, Pareto, worst parts, models.

    Times without an offset are in the plant's time zone (CASTING_IMAGES_TIMEZONE).
    """
    from casting_core.history_report import build_history_report
    from casting_core.types import Window
    from db.lines import known_lines
    from db.report import read_history
    from flows.resources import open_resources
    from flows.settings import load_settings

    with plain_errors():
        settings = load_settings()
        resources = open_resources(settings)
        zone = ZoneInfo(settings.images_timezone)
        now = datetime.now(tz=UTC)
        end = _in_zone(until, zone) or now
        window = Window(since=_in_zone(since, zone) or end - timedelta(days=_DAYS), until=end)
        with resources.engine.connect() as connection:
            lines = known_lines(connection)
            if line and line not in lines:
                fail(f"No pictures of a line {line!r} are known. The lines are: {', '.join(lines) or 'none yet'}.")
            history = read_history(connection, window, line=line, zone=settings.images_timezone)
        pictures = {} if link_pictures else _fetch(resources.store, history.worst)
        page = build_history_report(history, pictures=pictures, zone=zone, made_at=now, link_pictures=link_pictures)
        try:
            out.write_bytes(page)
        except OSError as error:
            fail(f"The report cannot be written to {out}: {error.strerror}.")
        messages.print(f"Wrote {out} ({len(page) / 1e6:.1f} MB, {history.totals.inspected:,} parts).", soft_wrap=True)


def _in_zone(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    return moment.replace(tzinfo=zone) if moment is not None and moment.tzinfo is None else moment


def _fetch(store: ObjectStore, parts: Sequence[WorstPart]) -> dict[str, bytes]:
    """The contents of the parts' pictures by address; those that are gone are left out."""
    from casting_core.types import Rejection

    wanted = [(part.uri, part.etag) for part in parts]
    return {uri: content for (uri, _), content in store.fetch(wanted).items() if not isinstance(content, Rejection)}
