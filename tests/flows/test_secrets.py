"""Planted secrets are nowhere but where they were planted: in no log, error, artifact, parameter or table."""

import json
import socket
import subprocess
import sys

import pytest

from tests.flows.conftest import NOW, picture
from tests.prefect_server import environment_without_prefect

SECRETS = {
    "CASTING_S3_SECRET_ACCESS_KEY": "planted-s3-secret",
    "CASTING_PREFECT_AUTH": "plant:planted-prefect-password",
    "CASTING_ALERT_URLS": "json://user:planted-channel-password@127.0.0.1:9/",
}
WORDS = ("planted-s3-secret", "planted-prefect-password", "planted-channel-password", "planted-database-password")


def assert_clean(text, *, where):
    assert not [word for word in WORDS if word in text], f"a secret in {where}: {text[:2000]}"


@pytest.fixture
def secretive(plant, monkeypatch):
    """A plant whose settings are full of secrets."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return plant


def test_a_run_leaves_none_in_logs_parameters_artifacts_or_tables(secretive, prefect_server, caplog):
    from prefect.client.orchestration import get_client

    from flows.score import score

    secretive.publish()
    secretive.put_many(3)
    secretive.put("cam1/2026/11/23/07/broken.jpg", b"no picture")
    with caplog.at_level("DEBUG"):
        score(until=NOW)
        secretive.put("cam1/2026/11/23/07/late.jpg", picture(2))
        (artifact,) = (secretive.home / "models").iterdir()
        (artifact / "weights.safetensors").write_bytes(b"damaged")
        from flows.resources import close_resources

        close_resources()
        with pytest.raises(Exception, match="weights"):
            score(until=NOW)
    assert_clean(caplog.text, where="the log")
    with get_client(sync_client=True) as client:
        for path in ("/flow_runs/filter", "/task_runs/filter", "/artifacts/filter", "/logs/filter"):
            found = client.request("POST", path, json={}).json()
            assert_clean(json.dumps(found), where=path)
    tables = secretive.sql(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'month')"
    )
    for (table,) in tables:
        rows = secretive.sql(f"SELECT t::text FROM {table} t")  # noqa: S608 - names from the catalogue
        assert_clean(str(rows), where=table)


@pytest.mark.parametrize(
    "wrong",
    [
        {"CASTING_DATABASE_URL": "postgresql://u:planted-database-password@127.0.0.1:9/none"},
        {"CASTING_DATABASE_URL": "postgresql://u:planted-database-password@[::1:bad/none"},
        {"CASTING_ALERT_URLS": "nosuch://user:planted-channel-password@x"},
        {"CASTING_LOOKBACK_HOURS": "-1"},
    ],
    ids=["database away", "database address", "channel", "another setting"],
)
def test_an_error_names_none(secretive, wrong):
    assert_fails_cleanly("status", wrong)


def test_an_error_of_the_start_names_none(secretive):
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert_fails_cleanly("up", {"CASTING_PREFECT_PORT": str(other.getsockname()[1])})


def assert_fails_cleanly(command, wrong):
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "flows", command],
        env=environment_without_prefect() | SECRETS | wrong,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert_clean(done.stdout + done.stderr, where="what the command says")


def test_the_settings_show_none(secretive):
    from flows.settings import load_settings

    assert_clean(repr(load_settings()) + str(load_settings()), where="the settings")
