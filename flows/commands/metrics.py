"""`casting metrics`: the figures for Prometheus, once."""

from __future__ import annotations

import typer

from flows.commands.console import plain_errors


def metrics() -> None:
    """Print the figures for Prometheus, as `casting up` serves them: for a textfile collector, or to look at."""
    from flows.metrics import PlantCollector, as_text
    from flows.resources import open_engine
    from flows.settings import load_settings

    with plain_errors():
        engine = open_engine(load_settings())
        typer.echo(as_text(PlantCollector(connect=engine.connect)), nl=False)
        engine.dispose()
