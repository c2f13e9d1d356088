"""What can go wrong in the middle of a run, each as it happens to a plant; `get_well` ends what lasts."""

import time

from sqlalchemy.exc import DBAPIError

from db.engine import make_engine
from db.models import promote_model
from tests.published import BY_TEST

# What the proxy does to how many of the next requests.
STORAGE = {
    "storage slow": ("slow", 12),
    "storage answers 503": ("unavailable", 8),
    "storage resets connections": ("reset", 8),
    "storage cuts pictures short": ("truncate", 8),
    "storage lists keys twice": ("twice", 1000),
}
# Hours; the last two are further than the look-back.
JUMPS = (-0.8, 0.5, 5, 96, -96)


def kill_scoring(plant, chance):
    working = plant.working()
    for process in working[: chance.randint(1, 2)]:
        process.kill()
    return bool(working)


def kill_postgres(plant, chance):
    plant.shared.postgres.kill()
    time.sleep(chance.uniform(0, 1))
    plant.shared.postgres.start()
    return True


def kill_prefect(plant, chance):
    plant.shared.prefect.kill()
    time.sleep(chance.uniform(0, 1))
    plant.shared.prefect.start()
    return True


def cut_connections(plant, _chance):
    """Cut connections that are in the middle of a transaction, waiting for such a moment a little."""
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND application_name = 'casting' AND xact_start IS NOT NULL"
    )
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if plant.sql(cut):
            return True
        time.sleep(0.01)
    return False


def trouble_storage(kind, times):
    def trouble(plant, _chance):
        plant.shared.proxy.fail(kind, times=times, only="list-type" if kind == "twice" else "")
        return True

    return trouble


def fill_disk(plant, chance):
    postgres = plant.shared.postgres
    if not postgres.disk_can_be_filled:
        return False
    postgres.fill_disk()
    time.sleep(chance.uniform(0.2, 1.5))
    postgres.empty_disk()
    return True


def jump_clock(plant, chance):
    plant.set_clock(hours=chance.choice(JUMPS))
    return bool(plant.working())


def promote(plant, chance):
    """Another model becomes the champion, as `casting models promote` does it."""
    engine = make_engine(plant.database_url)
    try:
        with engine.begin() as connection:
            promote_model(connection, chance.choice(plant.shared.versions), **BY_TEST)
    except DBAPIError:
        return False
    finally:
        engine.dispose()
    return True


def deploy_release(plant, _chance):
    """Another release: the views are other ones, and its deployments are registered while a run goes on."""
    plant.sql("COMMENT ON VIEW current_verdict IS 'Of an older release. [casting 000000000000]'")
    plant.start("db", "upgrade")
    plant.start("deploy")
    return True


FAULTS = {
    "scoring process killed": kill_scoring,
    "Postgres killed": kill_postgres,
    "Prefect server killed": kill_prefect,
    "connections cut in a transaction": cut_connections,
    **{name: trouble_storage(*what) for name, what in STORAGE.items()},
    "disk full": fill_disk,
    "clock jumps": jump_clock,
    "model promoted": promote,
    "release deployed": deploy_release,
}


def draw_faults(chance):
    """One to four faults, in the order in which they happen."""
    return chance.choices(list(FAULTS), k=chance.randint(1, 4))
