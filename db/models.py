"""The model registry: which artifact a version is, and which version judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, text, update

from casting_core.types import ModelId, RegisteredModel
from db.errors import NoChampion, UnknownModel
from db.schema import model

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Select


def register_model(
    connection: Connection, *, version: str, artifact_url: str, sha256: str, card: dict[str, Any]
) -> RegisteredModel:
    """Add a candidate. `sha256` is the artifact's; a load compares it."""
    row = connection.execute(
        insert(model)
        .values(version=version, artifact_url=artifact_url, sha256=sha256, card=card)
        .returning(*_columns())
    ).one()
    return _registered(row)


def promote_model(connection: Connection, version: str) -> RegisteredModel:
    """Make a version the champion and retire the one before. Raises UnknownModel."""
    # One promotion at a time: otherwise two could both retire the same predecessor and collide on the partial index.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('casting.promote'))"))
    find_model(connection, version)
    connection.execute(
        update(model).where(model.c.state == "champion", model.c.version != version).values(state="retired")
    )
    row = connection.execute(
        update(model)
        .where(model.c.version == version)
        .values(state="champion", promoted_at=func.now())
        .returning(*_columns())
    ).one()
    return _registered(row)


def champion(connection: Connection) -> RegisteredModel:
    """Return the model that judges. Raises NoChampion."""
    row = connection.execute(_select().where(model.c.state == "champion")).one_or_none()
    if row is None:
        raise NoChampion("No model is promoted, so nothing can be judged. Train and promote one, or run: casting demo")
    return _registered(row)


def find_model(connection: Connection, version: str) -> RegisteredModel:
    """Return a version, whatever its state. Raises UnknownModel, naming those there are."""
    row = connection.execute(_select().where(model.c.version == version)).one_or_none()
    if row is None:
        known = connection.execute(select(model.c.version).order_by(model.c.model_id.desc()).limit(5)).scalars().all()
        raise UnknownModel(f"No model {version!r} is registered. The newest are: {', '.join(known) or 'none'}.")
    return _registered(row)


def _columns() -> tuple[Any, ...]:
    return (model.c.model_id, model.c.version, model.c.artifact_url, model.c.sha256, model.c.state)


def _select() -> Select[Any]:
    return select(*_columns())


def _registered(row: Row[Any]) -> RegisteredModel:
    return RegisteredModel(
        model_id=ModelId(row.model_id),
        version=row.version,
        artifact_url=row.artifact_url,
        sha256=row.sha256,
        state=row.state,
    )
