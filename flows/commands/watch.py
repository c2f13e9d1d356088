"""`casting watch`: what was judged since the last watch, through the charts now."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands.console import JsonFlag, plain_errors, print_json, print_table


def watch(
    json: JsonFlag = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's own log.")] = False,
) -> None:
    """Watch every line for climbs, silence and drift, and deliver the alerts that follow."""
    from flows.settings import configure_prefect, load_settings

    with plain_errors():
        configure_prefect(load_settings(), verbose=verbose)
        from flows.watch import watch as watch_flow

        summary = watch_flow()
    if json:
        print_json(summary.to_json())
        return
    rows = [
        ("lines", summary.streams),
        ("parts through the charts", summary.parts),
        ("lines counted again for late parts", summary.recomputed),
        ("hours too late to count", summary.too_late),
        ("alerts opened", summary.opened),
        ("alerts updated", summary.updated),
        ("alerts resolved", summary.resolved),
        ("alerts open now", summary.open_alerts),
    ]
    print_table(("", "count"), rows, title=f"Watched in {summary.seconds:.1f} s")
