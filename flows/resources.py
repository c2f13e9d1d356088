"""The one place where engine, object store and model are put together from the settings; each once a process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from casting_core.storage import open_store
from db import embedded, migrate, models
from db.backup import upgrade_with_backup
from db.engine import database_url, make_engine

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from casting_core.layout import KeyLayout
    from casting_core.scoring import Scorer
    from casting_core.storage import ObjectStore
    from casting_core.types import RegisteredModel
    from flows.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a flow works with. Lives as long as the process; only ids of it cross a task boundary."""

    settings: Settings
    engine: Engine
    store: ObjectStore
    layout: KeyLayout
    _scorers: dict[str, Scorer] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def model(self, version: str | None) -> RegisteredModel:
        """The model of a version, or else the champion. Raises UnknownModel or NoChampion."""
        with self.engine.connect() as connection:
            return models.find_model(connection, version) if version else models.champion(connection)

    def scorer(self, model: RegisteredModel) -> Scorer:
        """The loaded model, read and checked against the registry the first time.

        Raises ArtifactMissing, ArtifactCorrupt, CardIncomplete or UnknownArchitecture.
        """
        # Here, since they load torch, which most commands do without.
        from casting_core.artifact import read_artifact  # noqa: PLC0415
        from casting_core.scoring import load_scorer  # noqa: PLC0415

        with self._lock:
            if model.sha256 not in self._scorers:
                options = self.settings.storage_options(model.artifact_url)
                artifact = read_artifact(model.artifact_url, expected_sha256=model.sha256, options=options)
                # One model at a time: a worker that lives for months would otherwise keep every champion it met.
                self._scorers.clear()
                self._scorers[model.sha256] = load_scorer(
                    artifact, device=self.settings.device, batch_size=self.settings.batch_size
                )
            return self._scorers[model.sha256]


_opened: dict[Settings, Resources] = {}
_opening = threading.Lock()


def open_resources(settings: Settings) -> Resources:
    """Return this process's resources for these settings; the embedded database is started and migrated first.

    A database of the plant's own is only checked: changing its schema is its owner's decision. Raises
    DatabaseUnavailable, SchemaOutdated or SchemaNewer.
    """
    with _opening:
        if settings not in _opened:
            _opened[settings] = _open(settings)
        return _opened[settings]


def close_resources() -> None:
    """Close what this process has opened: for those that go on with other settings, as tests do."""
    with _opening:
        for resources in _opened.values():
            resources.engine.dispose()
        _opened.clear()


def open_engine(settings: Settings) -> Engine:
    """Connect to the plant's database, or start the embedded one; its schema is taken as it is."""
    if settings.database_url is None:
        url = embedded.start(settings.postgres_folder)
    else:
        url = database_url(settings.database_url.get_secret_value())
    return make_engine(url, pool_size=settings.chunks_in_flight + 2)


def open_database(settings: Settings) -> Engine:
    """Connect to the plant's database and see that its schema fits; the embedded one is brought to this release's.

    One that an older release has made is backed up before. Raises DatabaseUnavailable, EmbeddedFailed,
    SchemaOutdated, SchemaNewer or BackupFailed.
    """
    engine = open_engine(settings)
    if settings.database_url is None:
        upgrade_with_backup(engine, settings.home.absolute() / "backups")
    else:
        migrate.check(engine)
    return engine


def make_own_bucket(settings: Settings) -> None:
    """Make the folder for line images in our home, unless the plant names a place of its own."""
    if settings.images_url is None:
        (settings.home / "bucket").mkdir(parents=True, exist_ok=True)


def open_storage(settings: Settings, url: str) -> ObjectStore:
    """Open the store of line images at a URL with the plant's credentials. Raises InvalidInput."""
    return open_store(url, options=settings.storage_options(url), s3_client=settings.s3_client)


def _open(settings: Settings) -> Resources:
    engine = open_database(settings)
    make_own_bucket(settings)
    url = settings.images_root
    store = open_storage(settings, url)
    return Resources(settings=settings, engine=engine, store=store, layout=settings.layout)
