"""The checks of `casting doctor`: each looks at one thing the hourly job needs, and never raises what it expects."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import torch
from sqlalchemy.exc import SQLAlchemyError

from casting_core.artifact import read_artifact
from casting_core.errors import CastingError
from casting_core.model import load_network
from casting_core.scoring import cpu_has_bfloat16
from db import migrate, models
from db.deliveries import Undelivered, undelivered
from db.engine import check_connection, public_address
from db.errors import DatabaseError
from db.golden import golden_images
from flows.errors import FlowError
from flows.outbox import PREFECT
from flows.resources import open_engine, open_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Engine

    from flows.settings import Settings


# What was given up longer ago is history.
_UNDELIVERED_SHOWN = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found: how things stand, or what is wrong and how to mend it."""

    well: bool
    text: str


def check_database(settings: Settings) -> Finding:
    """Is there a connection, and does the schema fit?"""
    try:
        with _engine(settings) as engine:
            version = check_connection(engine)
            revision = migrate.check(engine)
            address = public_address(engine.url)
    except DatabaseError as error:
        return Finding(well=False, text=str(error))
    return Finding(well=True, text=f"Postgres {version} at {address}, schema {revision}")


def check_bucket(settings: Settings) -> Finding:
    """Can the line images be listed?"""
    url = settings.images_root
    try:
        store = open_storage(settings, url)
        store.check_root()
        root = store.list_folder("")
    except CastingError as error:
        return Finding(well=False, text=str(error))
    first = f": {', '.join(sorted(root.folders)[:5])}" if root.folders else ""
    empty = "" if root.folders or root.files else "; no picture has come yet"
    return Finding(well=True, text=f"{store.url}, {len(root.folders)} folders at its root{first}{empty}")


def check_model(settings: Settings) -> Finding:
    """Is there a champion, and can its artifact be served?"""
    try:
        with _engine(settings) as engine, engine.connect() as connection:
            champion = models.champion(connection)
            newest = models.model_events(connection, version=champion.version, most=1)
            golden = {image.casting for image in golden_images(connection)}
        artifact = read_artifact(
            champion.artifact_url,
            expected_sha256=champion.sha256,
            options=settings.storage_options(champion.artifact_url),
        )
        load_network(artifact)
    except (CastingError, DatabaseError) as error:
        return Finding(well=False, text=str(error))
    except SQLAlchemyError:
        return Finding(well=False, text="The registry cannot be read; mend the database first.")
    since = "".join(f", {event.event} {event.happened_at:%Y-%m-%d} by {event.who}" for event in newest)
    kept = f"{len(golden)} golden castings" if golden else "no golden set yet: the first retraining freezes one"
    return Finding(well=True, text=f"champion {champion.version}{since}, artifact whole; {kept}")


def check_device(settings: Settings) -> Finding:
    """Is the device that the settings name there?"""
    if torch.cuda.is_available():
        return Finding(well=True, text=f"{torch.cuda.get_device_name()} through CUDA {torch.version.cuda}")
    if settings.device == "cuda":
        text = "CASTING_DEVICE is cuda, but torch finds no card. Check the driver, or set it to auto."
        return Finding(well=False, text=text)
    half = "with" if cpu_has_bfloat16() else "without"
    return Finding(well=True, text=f"CPU, {torch.get_num_threads()} threads, {half} bfloat16 arithmetic; no CUDA card")


def check_judges(settings: Settings) -> Finding:
    """Is there somebody to judge the chunks?"""
    from flows.runners import judges  # noqa: PLC0415 - Prefect reads the environment when it is imported

    try:
        processes, chunks = judges(settings)
    except FlowError as error:
        return Finding(well=False, text=str(error))
    address = settings.dask_address
    if address is None:
        return Finding(well=True, text=f"the flow's own process, {chunks} chunks at a time")
    if not processes:
        text = f"The Dask cluster at {address} has no worker. Start one: dask worker {address}"
        return Finding(well=False, text=text)
    return Finding(well=True, text=f"{processes} Dask workers at {address}, {chunks} chunks at a time")


def check_prefect(_settings: Settings) -> Finding:
    """Does the Prefect server answer?"""
    from prefect.settings import get_current_settings  # noqa: PLC0415 - reads the environment when imported

    url = get_current_settings().api.url
    if url is None:
        return Finding(well=True, text="no server set (PREFECT_API_URL); each command starts its own while it runs")
    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        return Finding(well=False, text=f"{url} does not answer ({error}). Start it: casting up")
    return Finding(well=True, text=f"server answers at {url}")


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def check_alerts(settings: Settings) -> Finding:
    """Does somebody hear of alerts, and has everybody got what was sent?"""
    try:
        with _engine(settings) as engine, engine.connect() as connection:
            missing = undelivered(connection, since=datetime.now(tz=UTC) - _UNDELIVERED_SHOWN)
    except (DatabaseError, SQLAlchemyError):
        return Finding(well=False, text="The outbox cannot be read; mend the database first.")
    names = [channel.name for channel in settings.channels]
    if missing:
        return Finding(well=False, text="; ".join(_undelivered_words(each, names) for each in missing))
    if not names:
        return Finding(well=True, text="no channel set (CASTING_ALERT_URLS), so nobody hears of alerts but by asking")
    return Finding(well=True, text=f"{len(names)} channels, nothing undelivered: {', '.join(names)}")


def _undelivered_words(missing: Undelivered, names: Sequence[str]) -> str:
    since = f"{missing.oldest:%Y-%m-%d %H:%M} UTC"
    count = f"{missing.waiting} messages wait" if missing.waiting else f"{missing.given_up} messages were given up"
    if missing.channel not in (*names, PREFECT):
        return f"{count} for the channel {missing.channel} since {since}, but it is not set any more"
    told = f"{count} for the channel {missing.channel} since {since}, after {missing.attempts} tries"
    if missing.last_error:
        told += f" ({missing.last_error.rstrip('.')})"
    remedy = "casting alerts deliver" if missing.channel == PREFECT else f"casting alerts test {missing.channel}"
    return f"{told}. Try: {remedy}"


CHECKS: dict[str, Callable[[Settings], Finding]] = {
    "database": check_database,
    "bucket": check_bucket,
    "model": check_model,
    "device": check_device,
    "judges": check_judges,
    "Prefect": check_prefect,
    "alerts": check_alerts,
}
