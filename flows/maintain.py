"""The daily upkeep: months made ahead, roll-ups brought up to date, a backup, what was missed, and all of it checked.

    months ahead -> roll-ups -> backup (of the embedded database) -> bucket against database (beyond the look-back)
        -> check (the last two months)

Nothing else waits for it: writers make a missing month themselves, and the views are exact without fresh roll-ups.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from db import months, rollup_check, rollups
from db.backup import back_up, name_of, prune
from flows.errors import RollupsWrong
from flows.reconcile import Reconciled, reconcile
from flows.resources import open_resources
from flows.retries import back_off, worth_retrying
from flows.settings import load_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

_CHECKED_BACK = timedelta(days=31)
_TOLD = 5


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """What a maintenance run did."""

    months_ahead: tuple[str, ...]
    line_days_recounted: int
    backup: str | None
    reconciled: Reconciled

    def to_json(self) -> dict[str, Any]:
        """As a dict of plain values."""
        return asdict(self)


@flow(name="maintain", persist_result=False)
def maintain() -> Upkeep:
    """Make the coming months' partitions, refresh the roll-ups, find what was missed, and prove the roll-ups right.

    Raises RollupsWrong, naming hours that differ, and what ObjectStore raises.
    """
    engine = open_resources(load_settings()).engine
    made = make_months_ahead.with_options(**back_off(load_settings()))()
    recounted = refresh_rollups.with_options(**back_off(load_settings()))()
    backup = back_up_embedded.with_options(**back_off(load_settings()))()
    reconciled = reconcile.with_options(**back_off(load_settings()))()
    _check(engine)
    upkeep = Upkeep(months_ahead=tuple(made), line_days_recounted=recounted, backup=backup, reconciled=reconciled)
    get_run_logger().info("Roll-ups equal a recount; %s", upkeep)
    return upkeep


@task(name="make months ahead", cache_policy=NO_CACHE, retry_jitter_factor=0.5, retry_condition_fn=worth_retrying)
def make_months_ahead() -> list[str]:
    """Make sure that this month and the next ones have partitions."""
    with open_resources(load_settings()).engine.begin() as connection:
        return months.make_ahead(connection, now=datetime.now(tz=UTC))


@task(name="refresh roll-ups", cache_policy=NO_CACHE, retry_jitter_factor=0.5, retry_condition_fn=worth_retrying)
def refresh_rollups() -> int:
    """Recount what changed since the last scoring run, such as labels and promotions."""
    return rollups.refresh(open_resources(load_settings()).engine)


@task(name="back up", cache_policy=NO_CACHE, retry_jitter_factor=0.5, retry_condition_fn=worth_retrying)
def back_up_embedded() -> str | None:
    """Back up the embedded database and keep the newest CASTING_BACKUPS_KEPT; a database of the plant's own is its."""
    settings = load_settings()
    if settings.database_url is not None or settings.backups_kept == 0:
        return None
    folder = settings.home.absolute() / "backups"
    made = back_up(open_resources(settings).engine.url, folder / name_of(datetime.now(tz=UTC)))
    prune(folder, keep=settings.backups_kept)
    return str(made)


def _check(engine: Engine) -> None:
    since = (datetime.now(tz=UTC) - _CHECKED_BACK).date()
    wrong = list(rollup_check.check_rollups(engine, since=since))
    if wrong:
        told = "; ".join(map(str, wrong[:_TOLD]))
        raise RollupsWrong(
            f"{len(wrong)} hours of the roll-ups differ from a recount. {told}. Run: casting db check, and "
            "casting db refresh --all to count them anew."
        )
