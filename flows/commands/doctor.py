"""`casting doctor`: is everything that the hourly job needs in order?"""

from __future__ import annotations

import typer
from rich.markup import escape

from flows.commands.console import messages, plain_errors


def doctor() -> None:
    """Check database, bucket, champion model, device and Prefect; say what is wrong and how to mend it."""
    from flows.health import CHECKS
    from flows.settings import configure_prefect, load_settings

    with plain_errors():
        settings = load_settings()
    configure_prefect(settings)
    ill = 0
    for name, check in CHECKS.items():
        finding = check(settings)
        ill += not finding.well
        mark = "[green]ok  [/]" if finding.well else "[bold red]FAIL[/]"
        messages.print(f"{mark}  {name:<9} {escape(finding.text)}", highlight=False, soft_wrap=True)
    if ill:
        raise typer.Exit(code=1)
