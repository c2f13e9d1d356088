"""`casting alerts baseline`: what counts as usual. It changes by these commands alone, never by itself."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.alerts.take import WhyOption
from flows.commands.console import JsonFlag, as_utc, fail, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from casting_core.baselines import StreamBaseline

app = typer.Typer(help="What counts as usual: set from a good period, and shown.", no_args_is_help=True)


@app.command("set")
def set_(
    since: Annotated[datetime, typer.Option(help="Begin of a period in which all was well, UTC.")],
    until: Annotated[datetime, typer.Option(help="Its end, UTC.")],
    why: WhyOption,
    line: Annotated[list[str] | None, typer.Option(help="Only this line; may be given again.")] = None,
    valid_from: Annotated[
        datetime | None, typer.Option(help="From when it holds, UTC; the next full hour by default.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take the rates of a period for usual. The charts begin anew on them."""
    from casting_core.types import Window
    from flows.baselines import set_baselines
    from flows.resources import open_resources
    from flows.settings import load_settings

    if not why.strip():
        fail('Say why, for example --why "the first month after the new lamp".')
    with plain_errors():
        settings = load_settings()
        with open_resources(settings).engine.begin() as connection:
            found = set_baselines(
                connection,
                Window(since=as_utc(since), until=as_utc(until)),
                who=settings.who,
                why=why.strip(),
                lines=tuple(line or ()),
                keys=settings.stream_keys,
                valid_from=as_utc(valid_from),
                now=datetime.now(tz=UTC),
            )
    _print(found, as_json=as_json)


@app.command()
def show(as_json: JsonFlag = False) -> None:
    """Show the baselines that hold now, and what they were learnt from."""
    from db.baselines import read_baselines
    from flows.resources import open_resources
    from flows.settings import load_settings

    with plain_errors(), open_resources(load_settings()).engine.connect() as connection:
        now = datetime.now(tz=UTC)
        found = [versions[-1] for versions in read_baselines(connection, since=now - timedelta(hours=1)).values()]
    if not found and not as_json:
        messages.print(
            "No baseline yet: the first watch with enough parts sets one, or you do: casting alerts baseline set"
        )
        return
    _print(found, as_json=as_json)


def _print(found: list[StreamBaseline], *, as_json: bool) -> None:
    from casting_core.findings import start_of
    from casting_core.streams import name_of_stream
    from casting_core.wording import percent

    if as_json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        ("kind", "of", "usual (95 % between)", "parts", "learnt from (UTC)", "holds from (UTC)"),
        [
            (
                each.kind,
                name_of_stream(each.stream) or "(all lines)",
                f"{percent(each.rate)} ({percent(each.low)} to {percent(each.high)})",
                each.inspected,
                f"{each.reference.since:%Y-%m-%d %H:%M} to {each.reference.until:%Y-%m-%d %H:%M}",
                start_of(each.valid_from_hour),
            )
            for each in found
        ],
        title="What counts as usual",
    )
