"""What a plant PC runs, and what it refuses to run."""

import shutil
import socket
import subprocess
import threading
from contextlib import nullcontext
from datetime import timedelta

import pytest
import yaml

from flows.bring_up import run
from flows.errors import ServiceFailed, UnsafeAddress
from flows.plant_pc import PlantPC
from flows.plant_status import look
from flows.running import ProcessMark
from flows.settings import configure_prefect, load_settings
from tests.flows.test_running import running
from tests.prefect_server import free_port


@pytest.fixture
def pc(tmp_path, monkeypatch):
    """A plant PC in an empty home, with the settings given."""

    def make(**variables):
        monkeypatch.setenv("CASTING_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("PREFECT_API_URL", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return PlantPC(settings=load_settings())

    return make


def try_to_run(pc):
    run(pc, say=lambda _: None, stage=lambda _: nullcontext([]), stopping=threading.Event())


def test_prefects_own_database_forgets_runs_after_a_month(pc, monkeypatch):
    from prefect.settings.models.server.services import ServerServicesDBVacuumSettings

    for name, value in pc().environment.items():
        monkeypatch.setenv(name, value)
    understood = ServerServicesDBVacuumSettings()
    assert understood.enabled_vacuum_types == {"events", "flow_runs", "orphans"}
    assert understood.retention_period == timedelta(days=30)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "plant-pc"])  # noqa: S104 - refused
def test_an_address_beyond_this_machine_is_refused_without_a_password(pc, host):
    with pytest.raises(UnsafeAddress, match=f"CASTING_PREFECT_HOST is {host}.*Set CASTING_PREFECT_AUTH"):
        try_to_run(pc(CASTING_PREFECT_HOST=host))


def test_a_taken_port_is_named_before_anything_is_started(pc, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServiceFailed, match=f"127.0.0.1:{port} .*Another program.*set CASTING_PREFECT_PORT"):
            try_to_run(pc(CASTING_PREFECT_PORT=str(port)))
    assert not (tmp_path / "home" / "postgres").exists()
    assert not (tmp_path / "home" / "up.json").exists()


def test_an_address_of_another_machine_is_not_taken_for_a_port_in_use(pc):
    with pytest.raises(ServiceFailed, match=r"at 192.0.2.7:4200 .*Set CASTING_PREFECT_HOST to an address of this"):
        try_to_run(pc(CASTING_PREFECT_HOST="192.0.2.7", CASTING_PREFECT_AUTH="plant:s3cret"))


def test_status_asks_the_server_of_the_casting_up_that_runs_whatever_port_this_shell_has_set(pc):
    plant = pc(CASTING_PREFECT_PORT="4298")
    plant.home.mkdir(parents=True)
    port = free_port()
    up = running(ProcessMark.mine()).model_copy(update={"api_url": f"http://127.0.0.1:{port}/api"})
    up.write(plant.home)
    (server,) = [check for check in look(plant.settings).checks if check.name == "Prefect server"]
    assert server.text == f"http://127.0.0.1:{port}/api does not answer"


def test_every_service_gets_the_home_as_an_absolute_path_and_the_password_only_in_its_environment(pc, monkeypatch):
    pc = pc(CASTING_HOME="here", CASTING_PREFECT_AUTH="plant:s3cret", PREFECT_HOME="/elsewhere")
    service = pc.worker("casting-gpu")
    assert service.environment["CASTING_HOME"] == str(pc.home)
    assert pc.home.is_absolute()
    assert service.environment["PREFECT_HOME"] == "/elsewhere", "what the plant has set stays"
    assert service.environment["PREFECT_API_AUTH_STRING"] == "plant:s3cret"
    assert pc.server().environment["PREFECT_SERVER_API_AUTH_STRING"] == "plant:s3cret"
    assert service.environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert "s3cret" not in " ".join(service.command) + " ".join(pc.server().command)


def test_a_prefect_server_of_the_plants_own_is_used_instead_of_one_of_ours(pc):
    ours = pc()
    assert ours.own_server
    assert ours.api_url == "http://127.0.0.1:4200/api"
    theirs = pc(PREFECT_API_URL="http://prefect.plant:4200/api")
    assert not theirs.own_server
    assert (theirs.api_url, theirs.ui_url) == ("http://prefect.plant:4200/api", "http://prefect.plant:4200")
    again = pc(PREFECT_API_URL="http://127.0.0.1:4200/api")
    assert again.own_server, "the address that `casting up` itself told people to export"


def test_commands_use_the_server_of_a_casting_up_on_their_home(pc, monkeypatch):
    import os

    plant = pc()
    plant.home.mkdir(parents=True)
    written = running(ProcessMark.mine()).model_copy(update={"api_url": "http://127.0.0.1:4299/api"})
    written.model_copy(update={"phase": "starting"}).write(plant.home)
    for name in ("PREFECT_HOME", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "PREFECT_LOGGING_LEVEL", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "set already")
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    configure_prefect(plant.settings)
    assert "PREFECT_API_URL" not in os.environ, "a server that is not up yet is of no use"
    written.write(plant.home)
    configure_prefect(plant.settings)
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:4299/api"


def test_the_plants_times_go_into_the_deployments(pc, monkeypatch):
    from flows import deployments

    plan = deployments.planned(
        pc(CASTING_SCORE_CRON="20 6-22 * * *", CASTING_SCHEDULE_TIMEZONE="Europe/Berlin").settings
    )
    assert "score/hourly" in deployments.names(plan)
    schedules = {f"{d['name']}": s for d in plan["deployments"] for s in d.get("schedules", ())}
    assert schedules["hourly"]["cron"] == "20 6-22 * * *"
    assert {schedule["timezone"] for schedule in schedules.values()} == {"Europe/Berlin"}


def test_times_that_are_no_cron_expression_are_named_with_their_setting(pc):
    from flows import deployments

    with pytest.raises(ServiceFailed, match=r"CASTING_SCORE_CRON is 'every hour', which is no cron.* such as 5 \* "):
        deployments.planned(pc(CASTING_SCORE_CRON="every hour").settings)


def test_every_deployment_names_a_pool_and_queue_that_are_made_and_a_flow_that_exists():
    from importlib import import_module

    from flows import deployments

    plan = yaml.safe_load(deployments.FILE.read_text())
    assert plan["pull"] == []
    for deployment in plan["deployments"]:
        pool = deployment["work_pool"]
        assert pool["name"] in deployments.POOLS
        assert pool.get("work_queue_name", "default") in {*deployments.QUEUES, "default"}
        module, _, name = deployment["entrypoint"].rpartition(".")
        assert getattr(import_module(module), name).name == name
        assert deployment["description"].endswith(".")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_accepts_the_unit(tmp_path):
    from flows import deployments

    text = deployments.FILE.with_name("casting.service").read_text()
    # Its program lies where the plant installs it, not here.
    unit = tmp_path / "casting.service"
    unit.write_text(text.replace("/opt/casting/.venv/bin/casting", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)  # noqa: S603, S607
    assert (done.returncode, done.stderr) == (0, "")
