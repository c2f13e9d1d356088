"""Seeds a believable month of a plant of three lines, with pictures on disk: for looking at reports.

    python -m tests.plant_month HOME

fills the embedded database and the bucket below HOME. One line climbs after two thirds of the time, mostly with parts
of mould M7, and an alert says so.
"""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import text

from casting_core.storage import _stat_etag
from casting_core.synthetic import make_casting, render
from casting_core.types import Window
from tests.db.histories import Picture, open_model, roll_up, write_pictures

LINES = {"cam1": 0.012, "cam2": 0.02, "cam3": 0.016}
DAYS = 28


def seed_month(connection, *, root, end, parts_an_hour=30, days=DAYS, seed=0, folder=None):
    """Write a month of history that ends at `end`, two shifts a day on weekdays; return the pictures written."""
    random = np.random.default_rng(seed)
    begin = end - timedelta(days=days)
    run = open_model(connection, "resnet-2026-10", window=Window(since=begin, until=end), promote=True)
    pictures = []
    for line, usual in LINES.items():
        for number in range(days * 24):
            hour = begin + timedelta(hours=number)
            if hour.weekday() > 4 or not 5 <= hour.hour < 21:
                continue
            climbed = line == "cam2" and number > days * 24 * 2 // 3
            pictures += _hour(random, line, hour, parts_an_hour, usual * (3.5 if climbed else 1))
    if folder is not None:
        pictures = _on_disk(pictures, folder)
    write_pictures(connection, pictures, {"resnet-2026-10": run}, root=root)
    climb = begin + timedelta(hours=days * 24 * 2 // 3)
    connection.execute(
        text("""
            INSERT INTO alert (
                kind, severity, state, stream, line, opened_at, updated_at, signal, since_low, since, since_high, parts,
                observed_rate, baseline_rate)
            VALUES (
                'defect_rate_climb', 'critical', 'open', 'cam2', 'cam2', :opened, :opened, 's1', :since, :since, :since,
                210, 0.067, 0.02)"""),
        {"opened": climb + timedelta(hours=9), "since": climb + timedelta(hours=2)},
    )
    connection.execute(
        text("""
            INSERT INTO baseline (
                kind, stream, rate, low, high, counted, inspected, own_weight, icc, parts_per_hour, reference_since,
                reference_until, valid_from, set_by, why)
            SELECT 'defect_rate_climb', line, 0.02, 0, 1, 0, 0, 1, 0, :parts, :begin, :climb, :begin, 'seed', 'seed'
            FROM (SELECT DISTINCT line FROM image) AS lines"""),
        {"parts": parts_an_hour, "begin": begin, "climb": climb},
    )
    connection.execute(
        text("""
            INSERT INTO part_attribute (line, part_id, day, key, value)
            SELECT line, part_id, (captured_at AT TIME ZONE 'UTC')::date, 'mould',
                'M' || CASE WHEN verdict = 'defective' AND line = 'cam2' AND image_id % 3 > 0 THEN 7
                    ELSE image_id % 9 END
            FROM image LEFT JOIN verdict USING (image_id, captured_at)""")
    )
    roll_up(connection)
    return pictures


def _hour(random, line, hour, count, rate):
    made = []
    for number in range(int(random.integers(count * 2 // 3, count * 4 // 3))):
        defective = random.random() < rate
        p_defective = float(np.clip(random.beta(12, 1.2) if defective else random.beta(1, 25), 0, 1))
        verdict = "ok" if p_defective < 0.3 else "defective" if p_defective >= 0.7 else "review"
        made.append(
            Picture(
                line=line,
                part_id=f"{hour:%d%H}-{number:03d}",
                captured_at=hour + timedelta(seconds=60 * number),
                verdicts={} if random.random() < 0.002 else {"resnet-2026-10": (verdict, round(p_defective, 4))},
            )
        )
    return [each if each.verdicts else _set_aside(each, random) for each in made]


def _on_disk(pictures, folder):
    """Put pictures of defective castings where the defective parts' are said to be; a few castings serve for all."""
    contents = []
    for number in range(12):
        target = io.BytesIO()
        Image.fromarray(render(make_casting(number, defective=True), size=256)).save(target, "JPEG")
        contents.append(target.getvalue())
    placed = []
    for number, each in enumerate(pictures):
        if "defective" in [verdict for verdict, _ in each.verdicts.values()]:
            path = folder / f"{each.line}/{each.captured_at:%Y/%m/%d/%H}/{each.part_id}__{each.view}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[number % len(contents)])
            found = path.stat()
            each = replace(each, etag=_stat_etag(found.st_mtime, found.st_size, found.st_ino))  # noqa: PLW2901
        placed.append(each)
    return placed


def _set_aside(picture, random):
    reason = str(random.choice(["blank", "truncated", "unreadable"]))
    return Picture(line=picture.line, part_id=picture.part_id, captured_at=picture.captured_at, quarantine=reason)


def main(home):
    os.environ["CASTING_HOME"] = home
    from flows.resources import open_resources
    from flows.settings import load_settings

    resources = open_resources(load_settings())
    end = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0)
    with resources.engine.begin() as connection:
        seed_month(connection, root=resources.store.url, end=end, folder=Path(home) / "bucket")
    resources.engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1])
