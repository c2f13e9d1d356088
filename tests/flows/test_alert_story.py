"""A line climbs: baseline, watch, alert, message, chart, delivery, and every command of the plants' page."""

import io
import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import text
from typer.testing import CliRunner

from casting_core.types import Window
from db import images
from db.alerts import read_alerts
from db.verdicts import write_judgements
from flows.cli import app
from flows.settings import load_settings
from tests.db.builders import backlog_of, make_known, opened_run, predicted, stored_image
from tests.receiver import Receiver

PAGE = Path(__file__).parents[2] / "deployments" / "ALERTS.md"
START = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
PARTS = 40


def judge(plant, hour, defective):
    """Judge one hour of both lines; `defective` says how many parts of each line are."""
    engine, begin = plant.resources.engine, START + timedelta(hours=hour)
    stored = [
        stored_image(f"{line[-1].upper()}{hour}{number:04d}", line=line, captured_at=begin)
        for line in defective
        for number in range(PARTS)
    ]
    bad = {image.uri for image in stored if int(image.part_id[-4:]) % PARTS < defective[image.line]}
    make_known(engine, stored)
    run = opened_run(engine, plant.model, window=Window(since=START, until=begin + timedelta(hours=1)))
    chunk = backlog_of(engine, run)
    with engine.begin() as connection:
        claimed = images.claim_images(connection, chunk, model_id=plant.model.model_id)
        judged = [predicted(i, 0.97, "defective") if i.uri in bad else predicted(i, 0.03, "ok") for i in claimed]
        write_judgements(connection, run, judged)
        connection.execute(text("UPDATE scoring_run SET state = 'completed', finished_at = now(), backlog = 0"))


@pytest.fixture
def climbed(plant, monkeypatch):
    """A plant whose line-b has climbed in its third hour; its channels are set before that."""
    from flows.baselines import set_baselines
    from flows.outbox import alert_outbox
    from flows.watch import watch_once

    object.__setattr__(plant, "model", plant.publish())

    def watch(until):
        settings = load_settings()
        with plant.resources.engine.begin() as connection:
            return watch_once(connection, settings, now=until, outbox=alert_outbox(settings))

    for hour in range(2):
        judge(plant, hour, {"line-a": 2, "line-b": 3})
    usual = Window(since=START, until=START + timedelta(hours=2))
    watch(usual.until)
    with plant.resources.engine.begin() as connection:
        set_baselines(connection, usual, who="Ada", why="two good hours", valid_from=usual.until, now=usual.until)
    judge(plant, 2, {"line-a": 2, "line-b": 24})
    assert watch(START + timedelta(hours=3)).opened == 1
    return plant


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_the_climb_is_told_with_its_chart_from_judged_parts_to_the_receiver(
    climbed_with_channel, receiver, prefect_server
):
    from flows.deliver import deliver

    assert deliver().delivered == 2
    (got,) = receiver.received
    assert got["title"].replace("\N{NO-BREAK SPACE}", " ").startswith("CRITICAL · line-b: defect rate climbs, ")
    assert got["lines"] == ["line-b"]
    assert len(got["examples"]) == 3
    assert all(part.startswith("B2") for part in got["examples"])
    (picture,) = got["attachments"]
    assert picture["mimetype"] == "image/png"
    assert len(picture["base64"]) > 20_000


@pytest.fixture
def climbed_with_channel(receiver, monkeypatch, request):
    monkeypatch.setenv("CASTING_ALERT_URLS", f"foremen:={receiver.url}")
    return request.getfixturevalue("climbed")


def test_its_chart_shows_the_rate_and_the_statistic_up_to_the_alarm(climbed, tmp_path):
    from flows.alert_picture import read_history

    with climbed.resources.engine.connect() as connection:
        (alert,) = read_alerts(connection)
        history = read_history(connection, alert)
    assert len(history.times) == 3 * PARTS
    assert history.times[0] == START
    assert sum(history.outcomes) == 3 + 3 + 24
    reached = [place for place, value in enumerate(history.statistic) if value >= history.limit]
    assert len(reached) == 1
    assert 2 * PARTS < reached[0] < 3 * PARTS
    assert all(value != value for value in history.statistic[reached[0] + 1 :])  # noqa: PLR0124 - NaN is not itself
    chart = tmp_path / "chart.png"
    done = run("alerts", "show", str(alert.alert_id), "--chart", str(chart))
    assert done.exit_code == 0, done.output
    with Image.open(io.BytesIO(chart.read_bytes())) as picture:
        assert picture.size == (1080, 1080)


def test_baselines_are_set_and_shown(climbed):
    shown = json.loads(run("alerts", "baseline", "show", "--json").output)
    kinds = {(each["kind"], each["stream"]) for each in shown}
    assert {("defect_rate_climb", line) for line in ("", "line-a", "line-b")} <= kinds
    assert "(all lines)" in run("alerts", "baseline", "show").output
    nothing = run(
        "alerts", "baseline", "set", "--since", "2020-01-01", "--until", "2020-01-02", "--why", "a day without parts"
    )
    assert nothing.exit_code == 1
    assert "Traceback" not in nothing.output


def test_every_command_of_the_plants_page_works_as_it_is_written(climbed_with_channel, receiver):
    commands = re.findall(r"^    casting (.*?)(?:\s{2,}#.*)?$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(commands) >= 14
    good = {
        "2026-11-02T00:00:00": f"{START:%Y-%m-%dT%H:%M:%S}",
        "2026-11-16T00:00:00": f"{datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%S}",
    }
    for command in commands:
        arguments = [good.get(argument, argument) for argument in shlex.split(command)]
        if arguments in (["doctor"], ["alerts", "deliver"]):
            continue  # They need a Prefect server, and have tests of their own.
        done = run(*arguments)
        assert done.exit_code == 0, f"{command}: {done.output}"
