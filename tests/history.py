"""`make history`: a month of three lines with climbs planted in it, watched hour by hour on a real database.

Prints the table of planted against found as Markdown, the one in casting_core/ALERTS.md. Outcomes are correlated inside
hours, and the parts come as scoring leaves them: an hour's verdicts, then a watch.
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
from casting_core.types import Window
from db import alerts, embedded, migrate
from db.engine import make_engine
from flows.alert_picture import read_history
from flows.baselines import set_baselines
from flows.settings import Settings
from flows.watch import watch_once
from tests.histories import HOUR, START, beta_rates, completed_run, register, scores_of, write_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from casting_core.alert_types import Alert

BASELINE, ICC = 0.02, 0.005
LINES = ("line-a", "line-b", "line-c")
# How long each climb lasts, in days: a small one takes longer to be sure of.
RATIOS = {1.5: 3, 2.0: 1, 3.0: 1}


@dataclass(frozen=True, kw_only=True)
class Climb:
    """A climb planted in a line: between two hours its rate is `ratio` times the baseline."""

    line: str
    ratio: float
    begin: int
    end: int

    def holds(self, line: str, hour: int) -> bool:
        """Whether the line climbs in that hour."""
        return line == self.line and self.begin <= hour < self.end


def planted(*, days: int, learn_days: int, hours_each: int) -> list[Climb]:
    """Each ratio once on each line, far enough apart for the rate to be back in between."""
    ratios, count = list(RATIOS), len(LINES) * len(RATIOS)
    step = (days - learn_days) * 24 // count
    return [
        Climb(
            line=LINES[number % 3],
            ratio=ratios[number // 3],
            begin=learn_days * 24 + step * number + step // 2,
            end=learn_days * 24 + step * number + step // 2 + hours_each * RATIOS[ratios[number // 3]],
        )
        for number in range(count)
    ]


def simulate(
    engine: Engine, climbs: Sequence[Climb], *, days: int, learn_days: int, per_hour: int, seed: int
) -> list[Alert]:
    """Write and watch some days with climbs in them; return the alerts."""
    generator = np.random.default_rng(seed)
    settings = Settings()
    model = register(engine)
    run = completed_run(engine, model, until=START)
    minutes = [60 * number / per_hour for number in range(per_hour)]
    for hour in range(days * 24):
        for line in LINES:
            ratio = next((climb.ratio for climb in climbs if climb.holds(line, hour)), 1.0)
            rate = beta_rates(generator, ratio * BASELINE, ICC, 1)[0]
            scores = scores_of(generator, generator.random(per_hour) < rate)
            write_parts(
                engine, run, model, line=line, hour=START + hour * HOUR, scores=scores, first=hour * per_hour,
                minute_of=minutes,
            )  # fmt: skip
        now = START + (hour + 1) * HOUR + timedelta(minutes=5)
        if hour + 1 < learn_days * 24:
            continue
        completed_run(engine, model, until=now)
        with engine.begin() as connection:
            if hour + 1 == learn_days * 24:
                reference = Window(since=START, until=START + learn_days * 24 * HOUR)
                set_baselines(connection, reference, lines=(), who="history", why="known good", now=now - HOUR)
            watch_once(connection, settings, now=now)
    with engine.connect() as connection:
        return alerts.read_alerts(connection, states=["open", "acknowledged", "resolved"])


def told_of(climb: Climb, found: Sequence[Alert]) -> list[Alert]:
    """The alerts that tell of a climb, the newest first: those that signalled within it or a day later."""
    begin, end = START + climb.begin * HOUR, START + climb.end * HOUR
    return [
        alert
        for alert in found
        if alert.finding.kind == "defect_rate_climb"
        and alert.finding.line == climb.line
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
                    folder / f"{climb.line}-{climb.ratio:g}.png", optimize=True
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
            rows.append(f"| {climb.line} | x {climb.ratio:g} | {begin:%d %b %H:%M} | not found | | | |")
            continue
        alert = told[-1]
        finding = alert.finding
        signalled = datetime.fromisoformat(finding.evidence["signalled_at"])
        parts = round((signalled - begin) / HOUR * per_hour)
        away = (finding.since.estimate - begin) / HOUR
        rows.append(
            f"| {climb.line} | x {climb.ratio:g} | {begin:%d %b %H:%M} | {parts:,} parts | "
            f"{(alert.opened_at - begin) / HOUR:.1f} h | {away:+.1f} h | {finding.observed_rate:.1%} |"
        )
    false = [alert for alert in found if alert.alert_id not in explained]
    named = "; ".join(
        f"{alert.finding.kind} ({alert.finding.evidence.get('chart')}) on {alert.finding.line}, "
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
        climbs = planted(days=options.days, learn_days=options.learn_days, hours_each=options.hours_each)
        found = simulate(
            engine, climbs, days=options.days, learn_days=options.learn_days, per_hour=options.per_hour,
            seed=options.seed,
        )  # fmt: skip
        if options.pictures is not None:
            draw(engine, climbs, found, options.pictures)
        engine.dispose()
        embedded.stop(home / "postgres")
    print_table = table(climbs, found, per_hour=options.per_hour, watched_days=options.days - options.learn_days)
    sys.stdout.write(f"{print_table}\n\n{time.perf_counter() - started:.0f} s\n")


if __name__ == "__main__":
    main()
