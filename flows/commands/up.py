"""`casting up`, `down` and `status`: everything that a plant PC needs, in one command."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from flows.commands.console import JsonFlag, fail, messages, plain_errors, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.plant_pc import PlantPC

_STOP_SECONDS = 90


def up() -> None:
    """Start database, Prefect server, deployments and workers, keep them up, and stop them with Ctrl-C.

    Stop it from elsewhere with `casting down`.
    """
    from flows.bring_up import run
    from flows.plant_pc import PlantPC
    from flows.settings import load_settings

    stopping = threading.Event()

    def stop(*_: object) -> None:
        if stopping.is_set():
            # Asked twice: whoever asks does not want to wait. What is left is ended by the next `casting up` or `down`.
            raise SystemExit(1)
        messages.print("Stopping ...")
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with plain_errors():
        pc = PlantPC(settings=load_settings())
        messages.print(f"[bold]casting up[/] on {escape(str(pc.home))}", highlight=False, soft_wrap=True)
        run(pc, say=lambda text: _say(pc, text), stage=_stage, stopping=stopping)
    messages.print("Everything is stopped.")


def down() -> None:
    """Stop the `casting up` that runs on this home, or what a killed one has left behind."""
    from flows.running import forget, leftovers, read_running
    from flows.settings import load_settings
    from flows.supervisor import end_processes

    with plain_errors():
        home = load_settings().home.absolute()
    running = read_running(home)
    if running is None:
        left = leftovers(home)
        end_processes(left, patience=10)
        forget(home)
        messages.print(f"Nothing runs on {escape(str(home))}" + (f"; {len(left)} leftovers ended." if left else "."))
        return
    process = running.supervisor.process()
    if process is not None:
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    with messages.status("Stopping ..."):
        while running.supervisor.process() is not None:
            if time.monotonic() > deadline:
                fail(f"Process {running.supervisor.pid} still runs after {_STOP_SECONDS} s; see {home / 'logs'}.")
            time.sleep(0.2)
    messages.print("Everything is stopped.")


def status(json: JsonFlag = False) -> None:
    """Say what runs; exit code 0 only when everything is up."""
    from flows.plant_status import look
    from flows.settings import load_settings

    with plain_errors():
        state = look(load_settings())
    if json:
        print_json(state.to_json())
    else:
        for check in state.checks:
            mark = "[green]ok  [/]" if check.well else "[bold red]down[/]"
            messages.print(f"{mark}  {check.name:<22} {escape(check.text)}", highlight=False, soft_wrap=True)
    if not state.up:
        raise typer.Exit(code=1)


@contextmanager
def _stage(what: str) -> Iterator[list[str]]:
    details: list[str] = []
    started = time.monotonic()
    with messages.status(f"{what} ..."):
        yield details
    seconds = time.monotonic() - started
    messages.print(
        f"[green]ok  [/]  {what:<15} {escape(', '.join(details))}  [dim]{seconds:.1f} s[/]",
        highlight=False,
        soft_wrap=True,
    )


def _say(pc: PlantPC, text: str) -> None:
    moment = datetime.now(tz=UTC).astimezone().strftime("%H:%M:%S")
    messages.print(f"{moment}  {escape(text)}", highlight=False, soft_wrap=True)
    if text == "Everything is up.":
        messages.print(_where_to_look(pc), highlight=False, soft_wrap=True)


def _where_to_look(pc: PlantPC) -> str:
    home = "" if str(pc.settings.home) == ".casting" else f"CASTING_HOME={pc.settings.home} "
    rows = {
        "Runs and schedules": pc.ui_url,
        "Figures": pc.metrics_url if pc.settings.metrics_port else "none are served",
        "Line images go to": pc.settings.images_root,
        "Score now": f"{home}casting score",
        "": f"PREFECT_API_URL={pc.api_url} prefect deployment run score/hourly",
        "How things stand": f"{home}casting status",
        "Logs": _short(pc.home / "logs"),
        "Stop": f"Ctrl-C, or {home}casting down",
    }
    return "\n".join(f"  {name:<19} {escape(value)}" for name, value in rows.items())


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
