"""What runs the tasks of a flow: the setting, and what is said where a Dask cluster cannot be used."""

import os
import sys
from uuid import uuid4

import pytest
from pydantic import ValidationError

from flows.errors import ClusterUnavailable, DatabaseNotShared, ExtraMissing
from flows.settings import Settings, load_settings
from tests.certificates import as_configuration, make_certificates

SCHEDULER = "dask://127.0.0.1:9"


def settings(**given):
    given = {"task_runner": SCHEDULER, "database_url": "postgresql://casting@db/casting"} | given
    return Settings(**given)


@pytest.fixture
def scheduler(prefect_server, monkeypatch):
    """A Dask scheduler in this process that has no worker; waiting for one is looked at often."""
    from distributed import LocalCluster

    from flows import cluster

    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.1)
    address = {"protocol": "tcp", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=0, threads_per_worker=1, processes=False, **address) as local:
        yield local


def nothing():
    """A task that does nothing."""
    from prefect import task

    return task(lambda: None, name="nothing", task_run_name="nothing")


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("threads", None),
        ("dask://10.0.0.5:8786", "tcp://10.0.0.5:8786"),
        ("dask+tls://scheduler.plant:8786", "tls://scheduler.plant:8786"),
        ("dask://[::1]:8786", "tcp://[::1]:8786"),
    ],
)
def test_the_setting_names_threads_or_the_scheduler(value, address):
    assert settings(task_runner=value).dask_address == address


@pytest.mark.parametrize(
    "value",
    [
        "dask",
        "thread",
        "dask://10.0.0.5",
        "tcp://10.0.0.5:8786",
        "dask://h:8786/x",
        "dask://h:port",
        "dask://:8786",
        "dask://me:secret@h:8786",
    ],
)
def test_a_wrong_value_is_refused_by_name_with_what_to_write(monkeypatch, value):
    monkeypatch.setenv("CASTING_TASK_RUNNER", value)
    with pytest.raises(ValidationError, match=r"task_runner\n.*write threads, or .*dask://HOST:PORT"):
        load_settings()


def test_many_machines_need_a_database_that_all_of_them_reach():
    from flows.runners import task_runner

    with pytest.raises(DatabaseNotShared, match="Set CASTING_DATABASE_URL, here and on every worker"):
        task_runner(settings(database_url=None))


def test_without_the_extra_it_says_how_to_install_it(monkeypatch):
    from flows.runners import judges

    monkeypatch.delitem(sys.modules, "flows.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'casting-inspection\[dask\]'"):
        judges(settings())


def test_a_scheduler_that_does_not_answer_fails_the_run_and_leaves_its_images_as_backlog(scoring_plant, monkeypatch):
    import dask

    from flows.health import check_judges
    from tests.flows.test_score import assert_counts_add_up, run

    monkeypatch.setenv("CASTING_TASK_RUNNER", SCHEDULER)
    scoring_plant.put_many(3)
    with dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}):
        with pytest.raises(ClusterUnavailable, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"):
            run()
        finding = check_judges(load_settings())
    assert assert_counts_add_up(scoring_plant) == (3, 0, 0, 3)
    assert (finding.well, "dask scheduler" in finding.text) == (False, True)


def test_a_run_on_a_cluster_judges_each_image_once(scoring_plant, scheduler, monkeypatch):
    from flows.health import check_judges
    from tests.flows.test_score import assert_counts_add_up, run

    address = scheduler.scheduler_address
    monkeypatch.setenv("CASTING_TASK_RUNNER", address.replace("tcp://", "dask://"))
    scheduler.scale(2)
    scheduler.wait_for_workers(2)
    scoring_plant.put_many(20)
    summary = run()
    assert (summary.scored, summary.backlog) == (20, 0)
    assert assert_counts_add_up(scoring_plant) == (20, 20, 0, 0)
    assert check_judges(load_settings()).text == f"2 Dask workers at {address}, 2 chunks at a time"


@pytest.fixture
def certificates(tmp_path):
    """The document's certificates, as Dask's configuration holds them."""
    return as_configuration(make_certificates(tmp_path / "certificates"))


@pytest.fixture
def encrypted(prefect_server, certificates):
    """A scheduler that talks to nobody without a certificate, with one worker."""
    import dask
    from distributed import LocalCluster, Security

    with dask.config.set(certificates):
        security = Security()
    address = {"protocol": "tls", "host": "127.0.0.1", "dashboard_address": None, "security": security}
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **address) as local:
        yield local.scheduler_address


def test_a_run_on_a_cluster_that_asks_for_certificates(scoring_plant, encrypted, certificates, monkeypatch):
    import dask

    from flows.health import check_judges
    from tests.flows.test_score import assert_counts_add_up, run

    assert encrypted.startswith("tls://")
    monkeypatch.setenv("CASTING_TASK_RUNNER", encrypted.replace("tls://", "dask+tls://"))
    scoring_plant.put_many(8)
    with dask.config.set(certificates):
        assert run().scored == 8
        assert check_judges(load_settings()).text == f"1 Dask workers at {encrypted}, 1 chunks at a time"
    assert assert_counts_add_up(scoring_plant) == (8, 8, 0, 0)


def test_without_the_right_certificates_it_says_what_is_wrong(encrypted, certificates, tmp_path):
    import dask

    from flows.cluster import cluster_size

    foreign = as_configuration(make_certificates(tmp_path / "foreign"))
    quick = {"distributed.comm.timeouts.connect": "1s"}
    with pytest.raises(ClusterUnavailable, match=r"asks for certificates, and .* name none\. Set DASK_"):
        cluster_size(encrypted)
    with dask.config.set(foreign), dask.config.set(quick), pytest.raises(ClusterUnavailable, match=r"tls://.*certif"):
        cluster_size(encrypted)
    with (
        dask.config.set(certificates),
        dask.config.set({"distributed.comm.tls.client.key": str(tmp_path / "none.key")}),
        pytest.raises(ClusterUnavailable, match=r"cannot be read: .*No such file"),
    ):
        cluster_size(encrypted)
    with (
        dask.config.set(quick),
        pytest.raises(ClusterUnavailable, match=r"dask\+tls:// where it asks for certificates"),
    ):
        cluster_size(encrypted.replace("tls://", "tcp://"))


def test_a_cluster_that_stays_without_workers_is_given_up(scheduler):
    from flows.cluster import ClusterRunner, cluster_size

    assert cluster_size(scheduler.scheduler_address) == (0, 0)
    with ClusterRunner(scheduler.scheduler_address, patience=0.3) as runner:
        future = runner.submit(nothing(), parameters={})
        with pytest.raises(ClusterUnavailable, match=r"no worker for 0 s. Start one: dask worker tcp://"):
            future.wait()


# A task outside of a flow: whether Prefect minds depends on what this process has set up before.
@pytest.mark.filterwarnings("ignore:Logger 'prefect.task_runs' attempted to send logs:UserWarning")
def test_a_worker_that_comes_late_is_waited_for(scheduler):
    from flows.cluster import ClusterRunner

    with ClusterRunner(scheduler.scheduler_address, patience=30) as runner:
        future = runner.submit(nothing(), parameters={})
        future.wait(timeout=0.3)
        assert not future.state.is_final()
        scheduler.scale(1)
        future.wait()
        assert future.state.is_completed()


def test_a_scheduler_that_goes_away_ends_the_waiting(scheduler):
    from flows.cluster import ClusterRunner

    with ClusterRunner(scheduler.scheduler_address) as runner:
        future = runner.submit(nothing(), parameters={})
        scheduler.close()
        with pytest.raises(ClusterUnavailable, match=r"The connection to the Dask scheduler at .* was lost"):
            future.wait()


def test_a_task_that_kills_its_worker_fails_with_dasks_words(prefect_server):
    import dask
    from distributed import LocalCluster

    from flows.cluster import ClusterRunner, WatchedFuture

    address = {"protocol": "tcp", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, **address) as local,
        ClusterRunner(local.scheduler_address) as runner,
    ):
        future = WatchedFuture(uuid4(), runner.client.submit(os._exit, 1), look=runner.look)
        future.wait()
    assert future.state.is_crashed()
    assert "KilledWorker" in future.state.message
