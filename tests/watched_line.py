"""A line on a real database, its hours written one after the other and watched."""

from dataclasses import replace
from datetime import timedelta

import numpy as np

from casting_core.baselines import fleet_baselines
from casting_core.findings import hour_of
from casting_core.types import Window
from db import alerts
from db.baselines import write_baselines
from flows.settings import Settings
from flows.watch import watch_once
from flows.watching import read_parts
from tests.db.builders import rows
from tests.histories import HOUR, START, completed_run, register, write_parts

# One false alarm in a quarter of a day, so that a few hours of a test are enough.
SETTINGS = Settings(alert_budget_days=0.25)
PER_HOUR = 60


def sound(count=PER_HOUR):
    return np.full(count, 0.1) + np.arange(count) % 7 / 100


def bad(count=PER_HOUR, share=0.5):
    scores = sound(count)
    scores[:: round(1 / share)] = 0.95
    return scores


class Line:
    """A small plant whose hours are written one after the other."""

    def __init__(self, engine):
        self.engine = engine
        self.model = register(engine)
        self.run = completed_run(engine, self.model, until=START)

    def hour(self, number, scores, *, line="cam1", run=None, **options):
        write_parts(
            self.engine, run or self.run, options.pop("model", self.model), line=line, hour=START + number * HOUR,
            scores=scores, first=number * 1000, **options,
        )  # fmt: skip

    def watch(self, number, *, settings=SETTINGS, scored=True, **options):
        now = START + number * HOUR + timedelta(minutes=20)
        if scored:
            completed_run(self.engine, self.model, until=now)
        with self.engine.begin() as connection:
            return watch_once(connection, settings, now=now, **options)

    def baseline(self, *, lines=("cam1",), rate=0.03):
        """Set baselines that hold from the beginning."""
        for line in lines:
            self.hour(-1, bad(100, share=rate), line=line)
        reference = Window(since=START - HOUR, until=START)
        with self.engine.begin() as connection:
            parts = {line: read_parts(connection, line, since=reference.since, until=reference.until) for line in lines}
            found = fleet_baselines(parts, reference, model_id=self.model, valid_from_hour=hour_of(START))
            write_baselines(connection, [replace(each, icc=0.0) for each in found], set_by="test", why="said the test")

    def states(self):
        query = "SELECT stream, hour, seen::text, charts::text FROM stream_state ORDER BY stream, hour"
        return rows(self.engine, query)

    def alerts(self, *states):
        with self.engine.connect() as connection:
            return alerts.read_alerts(connection, states=states or ("open", "acknowledged", "resolved"))

    def events(self):
        return [event for (event,) in rows(self.engine, "SELECT event FROM alert_event ORDER BY event_id")]
