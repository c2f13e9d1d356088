"""`make history`: a month of three lines with climbs planted in it, watched hour by hour on a real database.

Prints the table of planted against found as Markdown, the one in casting_core/ALERTS.md. Outcomes are correlated inside
hours, and the parts come as scoring leaves them: an hour's verdicts, then a watch. With `--moulds 20` the parts of each
line come from so many moulds in turn, and each climb is that of one mould.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from casting_core.alert_chart import draw_alert_chart
from casting_core.alert_wording import headline
from casting_core.streams import attribute_stream, name_of_stream
from casting_core.types import Window
from db import alerts, embedded, migrate
from db.engine import make_engine
from flows.alert_picture import read_history
from flows.baselines import set_baselines
from flows.settings import Settings
from flows.watch import watch_once
from tests.histories import HOUR, START, beta_rates, completed_run, register, scores_of, write_moulds, write_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sqlalchemy import Engine

    from casting_core.alert_types import Alert

BASELINE, ICC = 0.02, 0.005
LINES = ("line-a", "line-b", "line-c")
# How long each climb lasts, in days: a small one takes longer to be sure of.
RATIOS = {1.5: 3, 2.0: 1, 3.0: 1}
# Those of one mould, of which a line makes fewer parts.
MOULD_RATIOS = {3.0: 2, 5.0: 2, 10.0: 1}


@dataclass(frozen=True, kw_only=True)
class Climb:
    """A climb planted in a line, or one mould of it: between two hours its rate is `ratio` times the baseline."""

    line: str
    ratio: float
    begin: int
    end: int
    mould: int | None = None

    @property
    def stream(self) -> str:
        """The stream that climbs."""
        return self.line if self.mould is None else attribute_stream(self.line, "mould", f"M{self.mould}")

    def holds(self, line: str, hour: int) -> bool:
        """Whether the line climbs in that hour."""
        return line == self.line and self.begin <= hour < self.end


def planted(*, days: int, learn_days: int, hours_each: int, moulds: int = 0) -> list[Climb]:
    """Each ratio once on each line, far enough apart for the rate to be back in between; with moulds on one of each."""
    lasting = MOULD_RATIOS if moulds else RATIOS
    ratios, count = list(lasting), len(LINES) * len(lasting)
    step = (days - learn_days) * 24 // count
    return [
        Climb(
            line=LINES[number % 3],
            ratio=ratios[number // 3],
            begin=learn_days * 24 + step * number + step // 2,
            end=learn_days * 24 + step * number + step // 2 + hours_each * lasting[ratios[number // 3]],
            mould=number if moulds else None,
        )
        for number in range(count)
    ]


def simulate(
    engine: Engine, climbs: Sequence[Climb], *, days: int, learn_days: int, per_hour: int, seed: int, moulds: int = 0
) -> list[Alert]:
    """Write and watch some days with climbs in them; return the alerts."""
    generator = np.random.default_rng(seed)
    settings = Settings(alert_streams="mould" if moulds else "")
    model = register(engine)
    run = completed_run(engine, model, until=START)
    minutes = [60 * number / per_hour for number in range(per_hour)]
    for hour in range(days * 24):
        for line in LINES:
            scores = scores_of(generator, _defective(generator, climbs, line, hour, per_hour=per_hour, moulds=moulds))
            write_parts(
                engine, run, model, line=line, hour=START + hour * HOUR, scores=scores, first=hour * per_hour,
                minute_of=minutes,
            )  # fmt: skip
        if moulds:
            write_moulds(engine, since=START + hour * HOUR, until=START + (hour + 1) * HOUR, moulds=moulds)
        now = START + (hour + 1) * HOUR + timedelta(minutes=5)
        if hour + 1 < learn_days * 24:
            continue
        completed_run(engine, model, until=now)
        with engine.begin() as connection:
            if hour + 1 == learn_days * 24:
                reference = Window(since=START, until=START + learn_days * 24 * HOUR)
                set_baselines(
                    connection, reference, who="history", why="known good", keys=settings.stream_keys, now=now - HOUR
                )
            watch_once(connection, settings, now=now)
    with engine.connect() as connection:
        return alerts.read_alerts(connection, states=["open", "acknowledged", "resolved"])


def _defective(
    generator: np.random.Generator, climbs: Sequence[Climb], line: str, hour: int, *, per_hour: int, moulds: int
) -> NDArray[np.bool_]:
    """Which parts of an hour are defective: one rate for the hour, another for a mould that climbs alone."""
    climb = next((climb for climb in climbs if climb.holds(line, hour)), None)
    whole = climb.ratio if climb is not None and climb.mould is None else 1.0
    rates = np.full(per_hour, beta_rates(generator, whole * BASELINE, ICC, 1)[0])
    if climb is not None and climb.mould is not None:
        rates[climb.mould :: moulds] = beta_rates(generator, climb.ratio * BASELINE, ICC, 1)[0]
    return generator.random(per_hour) < rates


def told_of(climb: Climb, found: Sequence[Alert]) -> list[Alert]:
    """The alerts that tell of a climb, the newest first: those that signalled within it or a day later."""
    begin, end = START + climb.begin * HOUR, START + climb.end * HOUR
    return [
        alert
        for alert in found
        if alert.finding.kind == "defect_rate_climb"
        and alert.finding.stream == climb.stream
        and begin <= datetime.fromisoformat(alert.finding.evidence["signalled_at"]) < end + 24 * HOUR
    ]


def draw(engine: Engine, climbs: Sequence[Climb], found: Sequence[Alert], folder: Path) -> None:
    """Draw the chart of the first alert of each climb that was found."""
    folder.mkdir(parents=True, exist_ok=True)
    for climb in climbs:
        for alert in told_of(climb, found)[-1:]:
            with engine.connect() as connection:
                history = read_history(connection, alert)
            if history is not None:
                picture = draw_alert_chart(history, title=headline(alert.finding), timezone=UTC, counted="defective")
                # A few colours are enough, and a third of the bytes.
                Image.open(io.BytesIO(picture)).quantize(48).save(
                    folder / f"{climb.line}-{climb.ratio:g}{'' if climb.mould is None else '-mould'}.png", optimize=True
                )


def table(climbs: Sequence[Climb], found: Sequence[Alert], *, per_hour: int, watched_days: int) -> str:
    """The planted climbs, each with the alert that tells of it, and the alerts that tell of none."""
    rows = [
        "| line | planted | since (UTC) | signalled after | message after | onset estimated | rate seen |",
        "|---|---|---|---|---|---|---|",
    ]
    explained = set()
    for climb in climbs:
        begin, told = START + climb.begin * HOUR, told_of(climb, found)
        explained |= {alert.alert_id for alert in told}
        if not told:
            rows.append(
                f"| {name_of_stream(climb.stream)} | x {climb.ratio:g} | {begin:%d %b %H:%M} | not found | | | |"
            )
            continue
        alert = told[-1]
        finding = alert.finding
        # Where the chart that signalled first is back, the alert shows the signal of the other, which came later.
        signalled = min(datetime.fromisoformat(finding.evidence["signalled_at"]), alert.opened_at)
        parts = round((signalled - begin) / HOUR * per_hour)
        away = (finding.since.estimate - begin) / HOUR
        rows.append(
            f"| {name_of_stream(climb.stream)} | x {climb.ratio:g} | {begin:%d %b %H:%M} | {parts:,} parts | "
            f"{(alert.opened_at - begin) / HOUR:.1f} h | {away:+.1f} h | {finding.observed_rate:.1%} |"
        )
    false = [alert for alert in found if alert.alert_id not in explained]
    named = "; ".join(
        f"{alert.finding.kind} ({alert.finding.evidence.get('chart')}) on {name_of_stream(alert.finding.stream)}, "
        f"signalled {alert.finding.signal[:13]}, over {alert.resolved_at and alert.resolved_at.isoformat()[:13]}"
        for alert in false
    )
    told = f"False alarms: {len(false)} in {watched_days} days over {len(LINES)} lines and all kinds"
    return "\n".join([*rows, "", f"{told}; the budget is one in 30 days. {named}".strip()])


def main() -> None:
    """Simulate with the sizes given, and print the table."""
    parser = argparse.ArgumentParser(prog="make history")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--learn-days", type=int, default=5)
    parser.add_argument("--per-hour", type=int, default=200)
    parser.add_argument(
        "--hours-each", type=int, default=24, help="of the larger climbs; the smallest lasts three times as long"
    )
    parser.add_argument("--moulds", type=int, default=0, help="of each line; each climb is then that of one")
    parser.add_argument("--seed", type=int, default=20261102)
    parser.add_argument("--pictures", type=Path, help="a folder for the charts of the climbs that were found")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="casting-history-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o755)
        Path(folder).chmod(0o755)
        engine = make_engine(embedded.start(home / "postgres"))
        migrate.upgrade(engine)
        climbs = planted(
            days=options.days, learn_days=options.learn_days, hours_each=options.hours_each, moulds=options.moulds
        )
        found = simulate(
            engine, climbs, days=options.days, learn_days=options.learn_days, per_hour=options.per_hour,
            seed=options.seed, moulds=options.moulds,
        )  # fmt: skip
        if options.pictures is not None:
            draw(engine, climbs, found, options.pictures)
        engine.dispose()
        embedded.stop(home / "postgres")
    print_table = table(climbs, found, per_hour=options.per_hour, watched_days=options.days - options.learn_days)
    sys.stdout.write(f"{print_table}\n\n{time.perf_counter() - started:.0f} s\n")


if __name__ == "__main__":
    main()
