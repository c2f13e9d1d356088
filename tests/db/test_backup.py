"""A backup is the database as it was at one moment, and comes back whole into an empty one."""

import tarfile
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from db import backup, migrate
from db.engine import make_engine
from db.errors import BackupFailed, RestoreRefused
from tests.db.builders import make_known, opened_run, registered, rows, stored_images, value

COUNTED = ("image", "verdict", "quarantine", "model", "scoring_run")


@pytest.fixture
def empty(empty_database_url):
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def judge(engine, number):
    """One verdict each for so many new images, in one transaction."""
    model = registered(engine, "m1", promote=True)
    make_known(engine, stored_images(number))
    run = opened_run(engine, model)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO verdict (image_id, captured_at, model_id, run_id, p_defective, verdict, sha256) "
                "SELECT image_id, captured_at, :model, :run, 0.2, 'ok', decode(repeat('ab', 32), 'hex') FROM image"
            ),
            {"model": model.model_id, "run": run.run_id},
        )


def contents(engine):
    return {table: rows(engine, f"SELECT t::text FROM {table} t ORDER BY 1") for table in COUNTED}  # noqa: S608


def test_a_restored_database_holds_the_same_rows_and_the_same_rules(engine, empty, tmp_path):
    judge(engine, 20)
    before = contents(engine)
    file = backup.back_up(engine.url, tmp_path / "deep" / "one.tar")
    backup.restore(empty, file)
    assert contents(empty) == before
    assert value(empty, "SELECT count(*) FROM verdict") == 20
    assert migrate.check(empty) == migrate.head_revision()
    assert value(empty, "SELECT count(*) FROM part_verdict") == value(engine, "SELECT count(*) FROM part_verdict")
    with pytest.raises(Exception, match="is append-only"), empty.begin() as connection:
        connection.execute(text("DELETE FROM verdict"))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["one.tar"]


def test_what_is_written_while_the_backup_runs_is_not_half_in_it(engine, empty, tmp_path):
    judge(engine, 10)
    with engine.connect() as open_transaction:
        open_transaction.execute(text("UPDATE scoring_run SET discovered = 999"))
        file = backup.back_up(engine.url, tmp_path / "one.tar")
        open_transaction.commit()
    backup.restore(empty, file)
    assert value(empty, "SELECT discovered FROM scoring_run") == 0


def test_a_restore_never_writes_over_anything(engine, tmp_path):
    file = backup.back_up(engine.url, tmp_path / "one.tar")
    with pytest.raises(RestoreRefused, match=r"holds \d+ tables already"):
        backup.restore(engine, file)


def test_a_file_that_is_no_backup_is_refused_and_one_cut_short_leaves_the_database_empty(engine, empty, tmp_path):
    (tmp_path / "no.tar").write_text("shift hand-over")
    with pytest.raises(RestoreRefused, match=r"no.tar is no backup of this product"):
        backup.restore(empty, tmp_path / "no.tar")
    judge(engine, 5)
    file = backup.back_up(engine.url, tmp_path / "one.tar")
    with tarfile.open(file) as tar:
        for name in tar.getnames():
            (tmp_path / name).write_bytes(tar.extractfile(name).read())
    dump = tmp_path / "casting.dump"
    dump.write_bytes(dump.read_bytes()[: dump.stat().st_size * 3 // 4])
    with tarfile.open(file, "w") as tar:
        tar.add(tmp_path / "roles.sql", "roles.sql")
        tar.add(dump, "casting.dump")
    with pytest.raises(BackupFailed, match="pg_restore failed"):
        backup.restore(empty, file)
    assert value(empty, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0


def test_an_archive_of_links_is_refused_and_followed_nowhere(empty, tmp_path):
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        for name in ("roles.sql", "casting.dump"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
            tar.addfile(link)
    with pytest.raises(RestoreRefused, match=r"links.tar is no backup of this product"):
        backup.restore(empty, tmp_path / "links.tar")


def test_a_backup_that_fails_leaves_no_file_and_says_why(engine, tmp_path):
    with pytest.raises(BackupFailed, match=r"pg_dump failed.*no_such_database"):
        backup.back_up(engine.url.set(database="no_such_database"), tmp_path / "one.tar")
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_an_older_release_is_backed_up_before_it_is_upgraded(engine, empty, tmp_path):
    migrate.upgrade(empty, revision="0001")
    made = backup.upgrade_with_backup(empty, tmp_path)
    assert made is not None
    assert f"before-{migrate.head_revision()}" in made.name
    assert migrate.check(empty) == migrate.head_revision()
    assert backup.upgrade_with_backup(empty, tmp_path) is None, "nothing to do, nothing to back up"
    assert backup.upgrade_with_backup(engine, tmp_path) is None
    assert list(tmp_path.iterdir()) == [made]


def test_a_new_database_is_not_backed_up(empty, tmp_path):
    assert backup.upgrade_with_backup(empty, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_an_older_backup_is_brought_to_this_release(empty, engine, empty_database_url, tmp_path):
    migrate.upgrade(empty, revision="0001")
    file = backup.back_up(empty.url, tmp_path / "old.tar")
    with empty.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA month CASCADE"))
    backup.restore(empty, file)
    assert migrate.check(empty) == migrate.head_revision()


def test_old_backups_are_deleted_but_those_made_before_an_upgrade_stay(tmp_path):
    start = datetime(2026, 11, 1, tzinfo=UTC)
    names = [backup.name_of(start + timedelta(days=day)) for day in range(5)]
    upgrade = backup.name_of(start, why="before-0007")
    for name in [*names, upgrade]:
        (tmp_path / name).touch()
    assert [file.name for file in backup.prune(tmp_path, keep=2)] == names[:3]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*names[3:], upgrade])
    assert backup.prune(tmp_path, keep=0) == []
