"""A month lies in object storage, every row of it, before it leaves the database; and it comes back the same."""

import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, date, datetime, timedelta

import pyarrow.parquet as pq
import pytest
from sqlalchemy import exc, text

from casting_core.errors import StorageUnavailable
from casting_core.types import Window
from db import archive, images, rollups
from db.errors import MonthChanged, NotArchived, NothingToArchive
from db.rollup_check import check_rollups
from db.verdicts import write_judgements
from flows.archive import MANIFEST, archive_month, unarchive_month
from flows.errors import ArchiveDamaged
from tests.db.builders import (
    NOW,
    backlog_of,
    eventually,
    make_known,
    opened_run,
    predicted,
    registered,
    rejected,
    rows,
    stored_image,
    value,
)

OCTOBER = date(2026, 10, 1)
THEN = datetime(2026, 10, 31, 23, tzinfo=UTC)
TABLES = ("image", "verdict", "quarantine", "label")


@pytest.fixture
def plant(engine):
    """October has five images: three judged, one quarantined, one neither, one labelled; November has one."""
    model = registered(engine, "champion-1", promote=True)
    run = opened_run(engine, model, window=Window(since=THEN - timedelta(days=30), until=NOW + timedelta(days=1)))
    october = [stored_image(f"P{number}", captured_at=THEN, view="à") for number in range(5)]
    ids = make_known(engine, [*october, stored_image("later")])
    with engine.begin() as connection:
        claimed = images.claim_images(connection, backlog_of(engine, run), model_id=model.model_id)
        outcome = {ids[3]: rejected, ids[4]: None}
        write_judgements(
            connection,
            run,
            [outcome.get(image.image_id, predicted)(image) for image in claimed if image.image_id != ids[4]],
        )
        connection.execute(
            text("INSERT INTO label (image_id, captured_at, label, who) VALUES (:image, :at, 'defective', 'me')"),
            {"image": ids[0], "at": THEN},
        )
    return engine


def no_options(url):
    return {}


def everything(engine):
    return {table: rows(engine, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in (*TABLES, "part_hour", "part")}  # noqa: S608


def in_october(engine):
    return {
        table: value(engine, f"SELECT count(*) FROM {table} WHERE captured_at < '2026-11-01'")  # noqa: S608
        for table in (*TABLES, "part")
    }


def archived(engine, url, **options):
    return archive_month(engine, OCTOBER, url=url, options=options)


def test_a_month_goes_to_object_storage_and_comes_back_the_same(plant, s3_bucket):
    rollups.refresh(plant)
    before = everything(plant)
    url = f"s3://{s3_bucket.name}/archive"
    moved = archive_month(plant, OCTOBER, url=url, options=s3_bucket.options)
    assert moved == {"image": 5, "verdict": 3, "quarantine": 1, "label": 1}
    assert in_october(plant) == {"image": 0, "verdict": 0, "quarantine": 0, "label": 1, "part": 0}
    assert rows(plant, "SELECT month, url, images, verdicts, quarantined, labels FROM archived_month") == [
        (OCTOBER, f"{url}/2026-10", 5, 3, 1, 1)
    ]
    assert value(plant, "SELECT count(*) FROM pg_class WHERE relname LIKE '%2026_10%'") == 0
    assert unarchive_month(plant, OCTOBER, options_for=lambda _: s3_bucket.options) == {
        "image": 5,
        "verdict": 3,
        "quarantine": 1,
    }
    assert everything(plant) == before
    assert value(plant, "SELECT count(*) FROM archived_month") == 0
    assert list(check_rollups(plant)) == []


def test_roll_ups_of_an_archived_month_stay_and_the_check_knows(plant, tmp_path):
    rollups.refresh(plant)
    before = rows(plant, "SELECT * FROM line_hour ORDER BY hour")
    archived(plant, tmp_path.as_uri())
    assert rows(plant, "SELECT * FROM line_hour ORDER BY hour") == before
    assert list(check_rollups(plant)) == []
    challenger = registered(plant, "challenger", promote=True)
    assert challenger.state == "champion"
    assert rows(plant, "SELECT * FROM line_hour ORDER BY hour") == before
    rollups.refresh(plant)
    assert rows(plant, "SELECT * FROM line_hour ORDER BY hour") == before


def test_the_moulds_of_an_archived_month_keep_their_counts_whatever_is_said_of_its_parts_later(plant, tmp_path):
    mould = text("""
        INSERT INTO part_attribute (line, part_id, day, key, value)
        VALUES ('line-1', :part, '2026-10-31', 'mould', 'M1')""")
    with plant.begin() as connection:
        connection.execute(mould, {"part": "P0"})
    rollups.refresh(plant)
    archived(plant, tmp_path.as_uri())
    with plant.begin() as connection:
        connection.execute(mould, {"part": "P1"})
    rollups.refresh(plant)
    counted = "SELECT hour, value, inspected FROM line_attribute_hour"
    assert rows(plant, counted) == [(THEN, "M1", 1)]
    pareto = "SELECT value, inspected FROM bi.pareto WHERE month = '2026-10-01' AND dimension = 'mould'"
    assert rows(plant, pareto) == [("M1", 1)]


def test_the_files_hold_every_row_in_types_that_other_programs_read(plant, tmp_path):
    archived(plant, tmp_path.as_uri())
    table = pq.read_table(tmp_path / "2026-10" / "image.parquet").to_pylist()
    assert [row["part_id"] for row in table] == ["P0", "P1", "P2", "P3", "P4"]
    assert {row["captured_at"] for row in table} == {THEN}
    assert pq.read_table(tmp_path / "2026-10" / "verdict.parquet").num_rows == 3
    assert (tmp_path / "2026-10" / MANIFEST).exists()


def test_an_archived_month_takes_no_images_and_says_how_to_bring_it_back(plant, tmp_path):
    archived(plant, tmp_path.as_uri())
    late = stored_image("late", captured_at=THEN)
    with pytest.raises(exc.DBAPIError, match=r"2026-10 is archived(.|\n)*casting db unarchive"):
        make_known(plant, [late])
    unarchive_month(plant, OCTOBER, options_for=no_options)
    assert len(make_known(plant, [late])) == 1


def test_a_month_is_archived_once_and_others_are_left_alone(plant, tmp_path):
    with plant.connect() as connection:
        assert archive.months_before(connection, date(2026, 12, 1)) == [OCTOBER, date(2026, 11, 1)]
    archived(plant, tmp_path.as_uri())
    with plant.connect() as connection, pytest.raises(NothingToArchive, match="No month before 2026-11"):
        archive.months_before(connection, date(2026, 11, 1))
    assert value(plant, "SELECT count(*) FROM image") == 1
    with pytest.raises(NotArchived, match="2026-11 is not archived"):
        unarchive_month(plant, date(2026, 11, 1), options_for=no_options)


# What goes wrong


def test_a_row_that_comes_in_meanwhile_stops_it(plant, tmp_path, monkeypatch):
    detach = archive.detach

    def late(connection, month, **rest):
        make_known(plant, [stored_image("late", captured_at=THEN)])
        rollups.refresh(plant)
        detach(connection, month, **rest)

    monkeypatch.setattr(archive, "detach", late)
    with pytest.raises(MonthChanged, match="into image while it was archived"):
        archived(plant, tmp_path.as_uri())
    monkeypatch.undo()
    assert in_october(plant)["image"] == 6
    assert archived(plant, tmp_path.as_uri())["image"] == 6


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content.replace(b"P1", b"P9")])
def test_storage_that_gives_back_other_bytes_stops_it(plant, tmp_path, monkeypatch, damage):
    from fsspec.implementations.local import LocalFileSystem

    put = LocalFileSystem.put_file

    def damaged(self, source, target, **rest):
        put(self, source, target, **rest)
        with open(target, "r+b") as file:  # noqa: PTH123
            content = damage(file.read()) + b" "
            file.seek(0)
            file.write(content)

    monkeypatch.setattr(LocalFileSystem, "put_file", damaged)
    with pytest.raises(ArchiveDamaged, match=r"image\.parquet has other bytes"):
        archived(plant, tmp_path.as_uri())
    assert in_october(plant)["image"] == 5


def test_a_file_damaged_later_is_not_taken_back(plant, tmp_path):
    archived(plant, tmp_path.as_uri())
    with (tmp_path / "2026-10" / "verdict.parquet").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ArchiveDamaged, match=r"verdict\.parquet has other bytes"):
        unarchive_month(plant, OCTOBER, options_for=no_options)
    assert in_october(plant)["image"] == 0
    assert value(plant, "SELECT count(*) FROM archived_month") == 1


def test_storage_that_does_not_answer_leaves_everything_where_it_is(plant, s3_bucket):
    options = s3_bucket.options | {
        "endpoint_url": "http://127.0.0.1:9",
        "config_kwargs": {"retries": {"max_attempts": 1}},
    }
    before = everything(plant)["image"]
    with pytest.raises(StorageUnavailable):
        archive_month(plant, OCTOBER, url=f"s3://{s3_bucket.name}/archive", options=options)
    assert everything(plant)["image"] == before


@pytest.mark.parametrize("moment", ["_compare", "detach"])
def test_killed_at_any_moment_it_has_lost_nothing_and_is_done_again(plant, tmp_path, moment):
    program = f"""
        import sys, time
        from datetime import date
        from db import archive
        from db.engine import database_url, make_engine
        from flows import archive as flow
        def stay(*args, **kwargs):
            print("here", flush=True)
            time.sleep(60)
        if {moment!r} == "detach":
            real = archive._refuse_stale
            archive._refuse_stale = stay
        else:
            flow.{moment if moment != "detach" else "_compare"} = stay
        flow.archive_month(make_engine(database_url(sys.argv[1])), date(2026, 10, 1), url=sys.argv[2], options={{}})
    """
    url = plant.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", textwrap.dedent(program), url, tmp_path.as_uri()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own program
    try:
        assert process.stdout.readline() == b"here\n"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    others = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
    eventually(lambda: value(plant, others) == 0, what="the server notices")
    assert in_october(plant)["image"] == 5
    assert archived(plant, tmp_path.as_uri())["image"] == 5
    assert in_october(plant)["image"] == 0
