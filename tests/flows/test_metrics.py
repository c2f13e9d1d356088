"""The figures for Prometheus are those of the database, also when it is away."""

import socket

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine

from flows.cards import parse_cards, read_cards
from flows.metrics import PlantCollector, as_text, serve
from flows.supervisor import Kept
from tests.flows.conftest import NOW
from tests.flows.test_supervisor import FakeService


def figures(text):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_figures_follow_the_hourly_job(scoring_plant):
    from flows.score import score

    collector = PlantCollector(connect=scoring_plant.resources.engine.connect)
    before = figures(as_text(collector))
    assert before["casting_database_up",] == 1
    assert before["casting_images_discovered_total",] == 0
    scoring_plant.put_many(7)
    scoring_plant.put("cam1/2026/11/23/07/broken.jpg", b"not a picture")
    score(until=NOW)
    after = figures(as_text(collector))
    outcomes = {key[1]: value for key, value in after.items() if key[0] == "casting_images_judged_total"}
    assert outcomes.pop("quarantined") == 1
    assert sum(outcomes.values()) == 7
    assert after["casting_images_discovered_total",] == 8
    assert after["casting_runs", "completed"] == 1
    assert after["casting_backlog_images",] == 0
    assert after["casting_judged_until_timestamp_seconds",] == NOW.timestamp()
    assert after["casting_last_run_images_per_second",] > 0
    assert after["casting_deliveries_waiting",] == 0
    stages = {key[1]: value for key, value in after.items() if key[0] == "casting_last_run_stage_seconds"}
    assert set(stages) == {"discover", "fetch", "decode", "forward", "write"}
    assert all(seconds > 0 for seconds in stages.values())
    # Both happen once at a time, within the run.
    assert stages["discover"] + stages["forward"] < after["casting_last_run_seconds",]
    score(until=NOW)
    total = figures(as_text(collector))
    assert total["casting_stage_seconds_total", "forward"] == stages["forward"], "nothing was left to judge"
    assert total["casting_stage_seconds_total", "discover"] > stages["discover"]
    assert ("casting_last_run_stage_seconds", "forward") not in total


def test_a_run_says_in_its_summary_where_the_time_went(scoring_plant):
    from flows.score import score

    scoring_plant.put_many(20)
    summary = score(until=NOW)
    assert list(summary.stage_seconds) == ["discover", "fetch", "decode", "forward", "write"]
    assert summary.to_json()["stage_seconds"]["forward"] == round(summary.stage_seconds["forward"], 3)


def test_cards_are_shown_as_the_driver_tells_of_them():
    answer = "0, 87, 40536, 81559\n1, [N/A], [N/A], 81559\nNVIDIA-SMI has failed\n"
    collector = PlantCollector(connect=away().connect, cards=lambda: parse_cards(answer))
    found = figures(as_text(collector))
    assert {key: value for key, value in found.items() if "gpu" in key[0]} == {
        ("casting_gpu_busy_ratio", "0"): 0.87,
        ("casting_gpu_memory_used_bytes", "0"): 40536 * 1024**2,
        ("casting_gpu_memory_bytes", "0"): 81559 * 1024**2,
    }


@pytest.mark.parametrize(
    ("script", "cards"),
    [
        ('test "$1" = --query-gpu=index,utilization.gpu,memory.used,memory.total && echo "0, 5, 10, 20"', 1),
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9", 0),
        (None, 0),
    ],
    ids=["answers", "fails", "is not there"],
)
def test_the_driver_is_asked_by_its_own_program(tmp_path, monkeypatch, script, cards):
    if script:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if script else str(tmp_path))
    assert len(read_cards()) == cards


def test_what_is_quarantined_is_logged_with_run_line_and_image(scoring_plant, caplog):
    from flows.score import score

    scoring_plant.put_many(2)
    scoring_plant.put("cam7/2026/11/23/07/broken.jpg", b"not a picture")
    with caplog.at_level("INFO", logger="prefect.task_runs"):
        run = score(until=NOW)
    (record,) = [record for record in caplog.records if "is quarantined" in record.getMessage()]
    assert (record.run_id, record.line, record.reason) == (str(run.run_id), "cam7", "not_an_image")
    ((image_id,),) = scoring_plant.sql("SELECT image_id FROM quarantine")
    assert record.image_id == image_id
    assert record.getMessage().endswith("cam7/2026/11/23/07/broken.jpg is quarantined: not_an_image")


def test_a_camera_gone_blind_does_not_drown_the_log(scoring_plant, caplog, monkeypatch):
    from flows.score import score

    monkeypatch.setenv("CASTING_CHUNK_SIZE", "20")
    for number in range(14):
        scoring_plant.put(f"cam7/2026/11/23/07/broken{number}.jpg", b"not a picture")
    with caplog.at_level("INFO", logger="prefect.task_runs"):
        assert score(until=NOW).quarantined == 14
    said = [record.getMessage() for record in caplog.records]
    assert sum("is quarantined" in message for message in said) == 10
    assert "4 further images of this chunk are quarantined" in said


def away():
    return create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 1})


def test_a_database_that_is_away_is_a_figure_and_no_error():
    found = figures(as_text(PlantCollector(connect=away().connect, cards=list)))
    assert found == {("casting_database_up",): 0}


def test_services_are_shown_over_http(engine):
    service = Kept(service=FakeService(name="Prefect server"), restarts=2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop = serve(PlantCollector(connect=engine.connect, kept=lambda: [service]), host="127.0.0.1", port=port)
    try:
        found = figures(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
    finally:
        stop()
    assert found["casting_service_up", "Prefect server"] == 1
    assert found["casting_service_restarts_total", "Prefect server"] == 2
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")
