"""Each role can do its job and nothing more."""

import pytest
from psycopg import errors
from sqlalchemy import exc, text

from db import images, migrate, rollups, runs
from db.engine import make_engine
from db.verdicts import write_judgements
from tests.db.builders import (
    NOW,
    backlog_of,
    make_known,
    opened_run,
    predicted,
    rejected,
    rows,
    stored_image,
    stored_images,
    value,
)

DENIED = errors.InsufficientPrivilege


@pytest.fixture
def plant(engine, run):
    """A database with a judged part, an alert, and the rights that an upgrade gives."""
    with engine.begin() as connection:
        migrate.grant(connection)
        connection.execute(
            text("""
                INSERT INTO alert (kind, severity, stream, line, opened_at, updated_at, signal)
                VALUES ('no_images', 'warning', 'line-1', 'line-1', now(), now(), 's')""")
        )
    make_known(engine, [stored_image(uri="s3://key:secret@bucket/line-1/P1.jpg?token=hidden")])
    judge(engine, run)
    return engine


@pytest.fixture
def connected_as(migrated_database_url):
    """Engines of other users."""
    engines = []

    def connect(role):
        engines.append(make_engine(migrated_database_url.set(username=role, password=None)))
        return engines[-1]

    yield connect
    for engine in engines:
        engine.dispose()


def judge(engine, run):
    with engine.begin() as connection:
        claimed = images.claim_images(connection, backlog_of(engine, run), model_id=run.model.model_id)
        judgements = [predicted(image) for image in claimed]
        write_judgements(connection, run, judgements)
        runs.count_judgements(connection, run.run_id, judgements)


def relations(engine, schema, kinds="('r', 'p', 'v')"):
    query = f"SELECT relname FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind IN {kinds}"  # noqa: S608
    return [row.relname for row in rows(engine, query, schema=schema)]


def refused(engine, statement, error=DENIED):
    with pytest.raises(exc.DBAPIError) as raised, engine.begin() as connection:
        connection.execute(text(statement))
    return isinstance(raised.value.orig, error)


@pytest.mark.parametrize("role", ["casting_reader", "casting_reviewer"])
def test_readers_see_every_view_of_bi_and_no_table(plant, connected_as, role):
    reader = connected_as(role)
    views = relations(plant, "bi")
    assert len(views) >= 10
    for view in views:
        rows(reader, f"SELECT * FROM bi.{view}")  # noqa: S608 - our own names
    assert value(reader, "SELECT count(*) FROM bi.part") == 1
    for schema in ("public", "month"):
        for name in relations(plant, schema):
            assert refused(reader, f"SELECT FROM {schema}.{name}")


def test_no_way_leads_a_reader_to_the_secrets_in_an_address(plant, connected_as):
    reader = connected_as("casting_reader")
    told = [str(row) for view in relations(plant, "bi") for row in rows(reader, f"SELECT * FROM bi.{view}")]  # noqa: S608
    assert any("bucket/line-1/P1.jpg" in row for row in told)
    assert not any("secret" in row or "hidden" in row for row in told)
    assert value(reader, "SELECT count(*) FROM pg_stats WHERE tablename LIKE 'image%'") == 0


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE bi.part SET verdict = 'ok'", exc.DBAPIError),
        ("CREATE TEMP TABLE mine (n int)", errors.ReadOnlySqlTransaction),
        ("SET default_transaction_read_only = off; CREATE TEMP TABLE mine (n int)", DENIED),
        ("SET default_transaction_read_only = off; CREATE TABLE bi.mine (n int)", DENIED),
        ("SET default_transaction_read_only = off; CREATE TABLE public.mine (n int)", DENIED),
        ("SELECT public.ensure_month(now())", DENIED),
        ("SELECT bi.add_label('line-1', 'P1', 'ok')", DENIED),
        ("SELECT bi.acknowledge_alert(1, 'seen')", DENIED),
        ("SET ROLE casting_writer", DENIED),
        ("COPY bi.part TO PROGRAM 'cat'", DENIED),
    ],
)
def test_a_reader_changes_nothing(plant, connected_as, statement, error):
    reader = connected_as("casting_reader").execution_options(isolation_level="AUTOCOMMIT")
    with reader.connect() as connection:
        *before, last = statement.split("; ")
        for each in before:
            connection.execute(text(each))
        with pytest.raises(exc.DBAPIError) as raised:
            connection.execute(text(last))
    assert error is exc.DBAPIError or isinstance(raised.value.orig, error)


@pytest.mark.parametrize("role", ["casting_reader", "casting_reviewer"])
def test_a_readers_question_is_cut_off(plant, connected_as, role):
    assert value(connected_as(role), "SHOW statement_timeout") == "30s"


def test_a_reviewer_labels_parts_and_acknowledges_alerts_under_its_own_name(plant, connected_as):
    reviewer = connected_as("casting_reviewer")
    with reviewer.begin() as connection:
        labelled = connection.execute(text("SELECT bi.add_label('line-1', 'P1', 'defective', 'a pinhole')"))
        assert labelled.scalar_one() == 1
        connection.execute(text("SELECT bi.acknowledge_alert(1, 'on my way')"))
    assert value(reviewer, "SELECT label FROM bi.part") == "defective"
    assert rows(plant, "SELECT label, who, why FROM label") == [("defective", "casting_reviewer", "a pinhole")]
    assert rows(plant, "SELECT event, who, why FROM alert_event") == [("acknowledged", "casting_reviewer", "on my way")]
    assert refused(reviewer, "SELECT bi.acknowledge_alert(1, 'again')", errors.NoDataFound)
    assert refused(reviewer, "SELECT bi.add_label('line-1', 'P9', 'ok')", errors.NoDataFound)
    assert refused(reviewer, "SELECT bi.add_label('line-1', 'P1', 'perhaps')", errors.CheckViolation)
    for statement in (
        "INSERT INTO public.label DEFAULT VALUES",
        "UPDATE public.alert SET state = 'resolved'",
        "CREATE TEMP TABLE t()",
    ):
        assert refused(reviewer, statement)


def test_a_label_goes_to_the_day_that_was_named_else_to_the_newest(engine, run, connected_as):
    with engine.begin() as connection:
        migrate.grant(connection)
    earlier = NOW.replace(day=22)
    make_known(engine, [stored_image(), stored_image(captured_at=earlier), stored_image("P2")])
    judge(engine, run)
    reviewer = connected_as("casting_reviewer")
    with reviewer.begin() as connection:
        connection.execute(text("SELECT bi.add_label('line-1', 'P1', 'defective')"))
        connection.execute(text("SELECT bi.add_label('line-1', 'P1', 'ok', '', '2026-11-22')"))
    assert rows(engine, "SELECT captured_at, label FROM current_label ORDER BY captured_at") == [
        (earlier, "ok"),
        (NOW, "defective"),
    ]


def test_a_writer_does_an_hours_work_without_other_rights(plant, champion, connected_as):
    writer = connected_as("casting_writer")
    run = opened_run(writer, champion)
    make_known(writer, [*stored_images(3), stored_image("later", captured_at=NOW.replace(year=2027))])
    with writer.begin() as connection:
        claimed = images.claim_images(connection, backlog_of(writer, run), model_id=champion.model_id)
        judgements = [predicted(claimed[0]), rejected(claimed[1])]
        write_judgements(connection, run, judgements)
        runs.count_judgements(connection, run.run_id, judgements)
        runs.close_run(connection, run.run_id, state="completed", seconds=1.0, backlog=1)
    assert rollups.refresh(writer) == 2
    assert value(writer, "SELECT count(*) FROM rollup_stale") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (n int)",
        "CREATE TEMP TABLE mine (n int)",
        "DROP TABLE verdict",
        "ALTER TABLE verdict DISABLE TRIGGER ALL",
        "TRUNCATE part",
        "UPDATE verdict SET verdict = 'ok'",
        "DELETE FROM image",
        "DELETE FROM label",
        "UPDATE alembic_version SET version_num = '0001'",
        "INSERT INTO archived_month DEFAULT VALUES",
        "DROP TABLE month.image_2026_11",
        "SET ROLE casting_owner",
    ],
)
def test_a_writer_changes_neither_schema_nor_history(plant, connected_as, statement):
    assert refused(connected_as("casting_writer"), statement)


def test_an_image_cannot_be_changed_although_it_can_be_locked(plant, connected_as):
    assert refused(connected_as("casting_writer"), "UPDATE image SET line = 'x'", errors.RestrictViolation)


def test_an_owner_may_do_all_that_concerns_rows(plant, connected_as):
    owner = connected_as("casting_owner")
    with owner.begin() as connection:
        for statement in ("SELECT FROM image", "CREATE TABLE bi.mine (n int)", "DELETE FROM part_hour"):
            connection.execute(text(statement))


def test_a_user_who_may_not_create_roles_is_told_what_the_administrator_runs(empty_engine, monkeypatch):
    with empty_engine.begin() as connection:
        connection.execute(text("CREATE ROLE plain_user"))
        source = (migrate._MIGRATIONS / "versions" / "0006_roles.sql").read_text(encoding="utf-8")
        connection.execute(text("SET LOCAL ROLE plain_user"))
        with pytest.raises(DENIED, match=r"plain_user may not create the role casting_new(.|\n)*CREATE ROLE"):
            connection.connection.cursor().execute(source.replace("'casting_owner',", "'casting_new',"))
        connection.rollback()


def test_tables_that_another_user_has_beside_ours_neither_stop_the_grants_nor_change(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE neighbour"))
        connection.execute(text("GRANT ALL ON SCHEMA public, bi TO casting_owner, neighbour"))
        connection.execute(text("SET LOCAL ROLE neighbour"))
        connection.execute(text("CREATE TABLE public.theirs (n int); CREATE TABLE bi.theirs (n int)"))
        connection.execute(text("RESET ROLE"))
        connection.execute(text("CREATE ROLE plain_owner"))
        owned = "SELECT format('ALTER TABLE %s OWNER TO plain_owner', oid::regclass) FROM pg_class "
        ours = "WHERE relnamespace::regnamespace::text IN ('public', 'bi') AND relkind IN ('r', 'p', 'v') "
        for (statement,) in connection.execute(text(owned + ours + "AND relname <> 'theirs'")).all():
            connection.execute(text(statement))
        for function in ("public.ensure_month", "bi.add_label", "bi.acknowledge_alert"):
            connection.execute(text(f"ALTER FUNCTION {function} OWNER TO plain_owner"))
        connection.execute(text("ALTER SCHEMA bi OWNER TO plain_owner; ALTER SCHEMA month OWNER TO plain_owner"))
        connection.execute(text("ALTER SCHEMA public OWNER TO plain_owner"))
        connection.execute(
            text(f"ALTER DATABASE {engine.url.database} OWNER TO plain_owner; SET LOCAL ROLE plain_owner")
        )
        migrate.grant(connection)
        connection.execute(text("RESET ROLE"))
        others = "SELECT relacl IS NULL FROM pg_class WHERE relname = 'theirs'"
        assert connection.execute(text(others)).scalars().all() == [True, True]
        connection.rollback()


def test_roles_that_another_database_of_the_cluster_made_are_taken_as_they_are(engine, empty_engine):
    before = rows(engine, "SELECT rolname, rolconfig FROM pg_roles WHERE rolname LIKE 'casting%' ORDER BY 1")
    assert [row.rolname for row in before] == ["casting_owner", "casting_reader", "casting_reviewer", "casting_writer"]
    migrate.upgrade(empty_engine)
    assert rows(engine, "SELECT rolname, rolconfig FROM pg_roles WHERE rolname LIKE 'casting%' ORDER BY 1") == before
