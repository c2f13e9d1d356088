"""The migrations make the schema that the program knows, all of it or nothing, and leave alone what is not theirs."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import exc, text

from db import migrate, schema, view_files
from db.engine import make_engine
from db.errors import NameTaken, SchemaNewer, SchemaOutdated
from tests.db.builders import at_once, eventually, make_known, registered, rows, stored_image, value

VERSIONS = Path(migrate.__file__).parent / "migrations" / "versions"
REVISIONS = sorted(path for path in VERSIONS.glob("*.py") if path.name != "__init__.py")

# What Postgres itself says of the tables: everything that both a migration and `db.schema` can state.
TABLES = {
    "columns": """
        SELECT relname || '.' || attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
            pg_get_expr(adbin, adrelid)
        FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
            AND relname <> 'alembic_version'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype, convalidated, pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> 0
            AND conrelid::regclass::text <> 'alembic_version'""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'""",
    "partitioning": "SELECT partrelid::regclass::text, pg_get_partkeydef(partrelid) FROM pg_partitioned_table",
}
# What only migrations make.
REST = {
    "schemas": "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'",
    "functions": """
        SELECT nspname, proname, prosrc, proconfig::text
        FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
        WHERE nspname IN ('public', 'bi')""",
    "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "views": "SELECT schemaname, viewname, definition FROM pg_views WHERE schemaname IN ('public', 'bi')",
    "comments": """
        SELECT pg_describe_object(classoid, objoid, objsubid), description FROM pg_description
        WHERE objoid >= 16384""",
}


def catalogue(engine, queries=TABLES | REST):
    return {name: sorted(map(repr, rows(engine, query))) for name, query in queries.items()}


def edited_views(monkeypatch, edit):
    sources = view_files.sources()
    monkeypatch.setattr(view_files, "sources", lambda: edit(sources))


def test_migrated_schema_is_the_one_that_the_program_knows(engine, empty_engine):
    with empty_engine.begin() as connection:
        schema.metadata.create_all(connection)
    known, migrated = catalogue(empty_engine, TABLES), catalogue(engine, TABLES)
    for name in TABLES:
        assert known[name] == migrated[name]
    assert len(known["partitioning"]) >= 3


def test_alembic_finds_nothing_to_add(engine):
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []


def test_the_way_down_leads_to_nothing_and_up_again_to_the_same(engine):
    before = catalogue(engine)
    registered(engine, "v1")
    make_known(engine, [stored_image()])
    migrate.downgrade(engine, "base")
    left = catalogue(engine)
    assert left.pop("schemas") == ["('information_schema',)", "('public',)"]
    assert {name: found for name, found in left.items() if found} == {}
    migrate.upgrade(engine)
    assert catalogue(engine) == before
    assert migrate.check(engine) == migrate.head_revision()


def test_a_second_upgrade_touches_nothing(engine):
    identities = "SELECT oid, xmin::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY oid"
    before = rows(engine, identities)
    migrate.upgrade(engine)
    assert rows(engine, identities) == before


def test_four_processes_may_upgrade_an_empty_database_at_once(empty_engine):
    barrier = Barrier(4)

    def upgrade():
        own = make_engine(empty_engine.url)
        barrier.wait()
        migrate.upgrade(own)
        own.dispose()
        return "done"

    assert at_once(*[upgrade] * 4) == ["done"] * 4
    assert migrate.check(empty_engine) == migrate.head_revision()
    assert value(empty_engine, "SELECT count(*) FROM alembic_version") == 1
    assert value(empty_engine, "SELECT count(*) FROM part_verdict") == 0


@pytest.mark.parametrize("breaks", ["SELECT 1 / 0", "SELECT pg_terminate_backend(pg_backend_pid())"])
@pytest.mark.parametrize("database", ["empty_engine", "engine"], ids=["empty", "with the views of another release"])
def test_an_upgrade_that_breaks_at_its_end_leaves_the_database_as_it_was(request, monkeypatch, database, breaks):
    engine = request.getfixturevalue(database)
    before = catalogue(engine)
    edited_views(monkeypatch, lambda sources: [*sources, breaks])
    with pytest.raises(Exception, match=r"division by zero|connection is lost"):
        migrate.upgrade(engine)
    assert catalogue(engine) == before
    monkeypatch.undo()
    migrate.upgrade(engine)
    assert migrate.check(engine) == migrate.head_revision()


def test_a_process_killed_in_the_middle_of_an_upgrade_leaves_the_database_as_it_was(empty_engine):
    before = catalogue(empty_engine)
    program = """
        import sys
        from db import migrate, view_files
        from db.engine import database_url, make_engine
        views = view_files.sources()
        view_files.sources = lambda: [*views, *["SELECT pg_sleep(0.1)"] * 3000]
        migrate.upgrade(make_engine(database_url(sys.argv[1]), application_name="to be killed"))
    """
    url = empty_engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", textwrap.dedent(program), url]
    process = subprocess.Popen(command)  # noqa: S603 - our own program
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'to be killed'"
    asleep = f"{sessions} AND wait_event = 'PgSleep'"
    try:
        eventually(lambda: value(empty_engine, asleep), what="the upgrade is under way")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    eventually(lambda: value(empty_engine, sessions) == 0, what="the server notices")
    assert catalogue(empty_engine) == before
    migrate.upgrade(empty_engine)
    assert migrate.check(empty_engine) == migrate.head_revision()


def test_an_empty_database_is_outdated(empty_engine):
    with pytest.raises(SchemaOutdated, match=f"at revision none.*needs {migrate.head_revision()}.*casting db upgrade"):
        migrate.check(empty_engine)


def test_a_database_without_the_newest_migration_is_outdated(engine, monkeypatch):
    with monkeypatch.context() as later:
        later.setattr(migrate, "head_revision", lambda: "9999")
        with pytest.raises(SchemaOutdated, match=r"at revision \d{4}, this release needs 9999.*casting db upgrade"):
            migrate.check(engine)
    assert migrate.check(engine) == migrate.head_revision()


@pytest.mark.parametrize(
    "act",
    [migrate.check, migrate.upgrade, lambda engine: migrate.downgrade(engine, "base")],
    ids=["check", "upgrade", "downgrade"],
)
def test_a_database_of_a_later_release_is_refused_and_not_touched(engine, act):
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = catalogue(engine)
    with pytest.raises(SchemaNewer, match=r"at revision 9999.*Install the newer release"):
        act(engine)
    assert catalogue(engine) == before


def test_views_are_made_anew_when_their_sources_change_and_only_then(engine, monkeypatch):
    oid = "SELECT 'part_verdict'::regclass::oid"
    first = value(engine, oid)
    with monkeypatch.context() as later:
        # With a % in it, which a driver could take for a parameter.
        edited_views(later, lambda sources: [*sources, "COMMENT ON VIEW current_verdict IS '100 % new, %s and all'"])
        migrate.upgrade(engine)
        comment = value(engine, "SELECT obj_description('current_verdict'::regclass)")
        assert comment.startswith("100 % new, %s and all")
        second = value(engine, oid)
        migrate.upgrade(engine)
        assert value(engine, oid) == second != first
    migrate.upgrade(engine)
    assert value(engine, oid) not in (first, second)
    assert "champion" in value(engine, "SELECT obj_description('current_verdict'::regclass)")


def test_views_that_somebody_dropped_come_back(engine):
    before = catalogue(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP VIEW bi.part"))
    migrate.upgrade(engine)
    assert catalogue(engine) == before


def test_an_upgrade_leaves_alone_what_the_plant_made_beside_it(empty_engine):
    with empty_engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA bi; CREATE TABLE bi.shift AS SELECT 'early' AS name"))
        connection.execute(text("CREATE SCHEMA plant; CREATE TABLE plant.image AS SELECT 'a picture' AS name"))
    migrate.upgrade(empty_engine)
    assert rows(empty_engine, "SELECT name FROM bi.shift UNION SELECT name FROM plant.image ORDER BY name") == [
        ("a picture",),
        ("early",),
    ]


def test_views_that_the_plant_built_on_ours_stop_an_upgrade_by_name(engine, monkeypatch):
    with engine.begin() as connection:
        connection.execute(text("CREATE VIEW shift_report AS SELECT line, verdict FROM part_verdict"))
    before = catalogue(engine)
    edited_views(monkeypatch, lambda sources: [*sources, "SELECT 1"])
    with pytest.raises(exc.InternalError, match="shift_report"):
        migrate.upgrade(engine)
    assert catalogue(engine) == before


def test_a_view_or_function_that_a_release_no_longer_ships_is_dropped_and_what_the_plant_made_in_bi_stays(
    engine, monkeypatch
):
    before = catalogue(engine)
    of_one_release = "CREATE VIEW bi.old AS SELECT bi.old_one();"
    with monkeypatch.context() as earlier:
        function = "CREATE FUNCTION bi.old_one() RETURNS integer LANGUAGE sql RETURN 1;"
        edited_views(earlier, lambda sources: [*sources, function, of_one_release])
        migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE VIEW bi.of_the_plant AS SELECT 1 AS one"))
    migrate.upgrade(engine)
    assert rows(engine, "SELECT * FROM bi.of_the_plant") == [(1,)]
    with engine.begin() as connection:
        connection.execute(text("DROP VIEW bi.of_the_plant"))
    assert catalogue(engine) == before


def test_a_view_of_the_plant_under_a_name_of_ours_is_never_taken_away(engine, monkeypatch):
    with engine.begin() as connection:
        connection.execute(text("CREATE VIEW bi.taken AS SELECT 'the plant''s' AS whose"))
    edited_views(monkeypatch, lambda sources: [*sources, "CREATE VIEW bi.taken AS SELECT 'ours' AS whose"])
    with pytest.raises(NameTaken, match=r'"taken" already exists.*Rename what the plant made'):
        migrate.upgrade(engine)
    assert rows(engine, "SELECT whose FROM bi.taken") == [("the plant's",)]


def test_a_plant_may_keep_things_of_its_own_in_bi_when_the_schema_is_taken_down(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE bi.of_the_plant AS SELECT 1 AS one"))
    migrate.downgrade(engine, "base")
    assert rows(engine, "SELECT * FROM bi.of_the_plant") == [(1,)]


def test_revisions_are_one_line_without_branches():
    scripts = ScriptDirectory(str(VERSIONS.parent))
    assert len(scripts.get_heads()) == 1
    assert len(list(scripts.walk_revisions())) == len(REVISIONS)


@pytest.mark.parametrize("path", REVISIONS, ids=lambda path: path.stem)
def test_a_revision_has_its_sql_for_both_ways_under_its_own_number(path):
    number = re.match(r"\d{4}(?=_)", path.stem)[0]
    assert re.search(rf'^revision = "{number}"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    for suffix in (".sql", ".down.sql"):
        statements = re.sub(r"--.*", "", path.with_suffix(suffix).read_text(encoding="utf-8"))
        assert ";" in statements
