"""`casting backup` and `casting restore` as a person types them, on an embedded database that goes on being written."""

import shutil
import subprocess
import sys
import tempfile
import threading
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from db import embedded, images, migrate
from db.engine import make_engine
from flows.cli import app
from tests.db.builders import eventually, opened_run, registered, stored_image, value
from tests.prefect_server import environment_without_prefect

VERDICT = """
    INSERT INTO verdict (image_id, captured_at, model_id, run_id, p_defective, verdict, sha256)
    SELECT image_id, captured_at, :model, :run, 0.2, 'ok', decode(repeat('ab', 32), 'hex')
    FROM image WHERE part_id = :part
"""


@pytest.fixture
def folder():
    """Not below pytest's own folder: Postgres' own user may not look into that."""
    folder = Path(tempfile.mkdtemp(prefix="casting-backup-"))
    yield folder
    for home in folder.iterdir():
        if (home / "postgres").is_dir():
            embedded.stop(home / "postgres")
    shutil.rmtree(folder)


@pytest.fixture
def casting(folder):
    """Run `casting` on a home of the folder."""

    def run(home, *arguments):
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "flows", *arguments],
            env=environment_without_prefect() | {"CASTING_HOME": str(folder / home), "COLUMNS": "160"},
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )

    return run


@pytest.fixture
def here(folder, monkeypatch):
    """The same within this process, which is quicker."""

    def run(home, *arguments):
        monkeypatch.setenv("CASTING_HOME", str(folder / home))
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    return run


@pytest.fixture
def opened(folder):
    """Open the embedded database of a home of the folder."""
    engines = []

    def open_(home):
        engines.append(make_engine(embedded.start(folder / home / "postgres")))
        return engines[-1]

    yield open_
    for engine in engines:
        engine.dispose()


def go_on_judging(engine, enough):
    """Write an image and its verdict in each transaction, until told that it is enough."""
    model = registered(engine, "m1", promote=True)
    run = opened_run(engine, model)
    for number in count():
        if enough.wait(0.005):
            return
        with engine.begin() as connection:
            images.insert_images(connection, [stored_image(f"P{number}")])
            connection.execute(text(VERDICT), {"model": model.model_id, "run": run.run_id, "part": f"P{number}"})


def test_a_backup_made_while_it_is_written_holds_whole_transactions_and_is_restored_as_the_runbook_says(
    casting, here, opened, folder
):
    plant, enough = opened("plant"), threading.Event()
    migrate.upgrade(plant)
    writer = threading.Thread(target=go_on_judging, args=(plant, enough))
    writer.start()
    try:
        counted = "SELECT count(*) FROM verdict"
        before = eventually(lambda: value(plant, counted), what="something is written")
        made = casting("plant", "backup")
        after = value(plant, counted)
    finally:
        enough.set()
        writer.join()
    assert made.returncode == 0, made.stderr
    (file,) = (folder / "plant" / "backups").iterdir()
    assert made.stdout == f"{file}\n"

    restored = casting("new", "restore", str(file))
    assert restored.returncode == 0, restored.stderr
    new = opened("new")
    assert before < after, "it was written meanwhile"
    assert before <= value(new, counted) <= after
    assert value(new, "SELECT count(*) FROM image") == value(new, counted), "no transaction is half in it"
    assert migrate.check(new) == migrate.head_revision()
    assert here("new", "db", "check").exit_code == 0

    again = here("new", "restore", str(file))
    assert (again.exit_code, "never writes over anything" in again.stderr) == (1, True)
    in_use = here("plant", "restore", str(file), "--replace")
    assert (in_use.exit_code, "Stop it first: casting down" in in_use.stderr) == (1, True)


def test_a_restore_that_replaces_keeps_the_old_folder_and_puts_it_back_where_the_file_is_damaged(here, opened, folder):
    plant = opened("plant")
    migrate.upgrade(plant)
    file = Path(here("plant", "backup").stdout.strip())
    registered(plant, "made since")
    plant.dispose()
    embedded.stop(folder / "plant" / "postgres")

    cut = folder / "plant" / "cut.tar"
    content = file.read_bytes()
    cut.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    for damaged, says in ((__file__, "is no backup of this product"), (str(cut), "as it was before")):
        refused = here("plant", "restore", damaged, "--replace")
        assert (refused.exit_code, says in refused.stderr) == (1, True), refused.stderr
        assert not list((folder / "plant").glob("postgres.before-*"))
        kept = opened("plant")
        assert value(kept, "SELECT version FROM model") == "made since"
        kept.dispose()
        embedded.stop(folder / "plant" / "postgres")

    done = here("plant", "restore", str(file), "--replace")
    assert done.exit_code == 0, done.stderr
    assert value(opened("plant"), "SELECT count(*) FROM model") == 0
    (old,) = (folder / "plant").glob("postgres.before-*")
    assert str(old) in done.stderr


def test_where_there_is_no_database_nothing_is_backed_up_or_asked_and_none_is_made(here, folder):
    done = here("elsewhere", "backup")
    assert done.exit_code == 1
    assert f"There is no embedded database in {folder / 'elsewhere'}" in done.stderr
    assert "Set CASTING_HOME" in done.stderr
    asked = here("elsewhere", "db", "sql", "SELECT 1")
    assert (asked.exit_code, "There is no embedded database in" in asked.stderr) == (1, True)
    assert not (folder / "elsewhere").exists()
