"""The model registry: which artifact a version is, which version judges, and what happened to each.

A change of state and its event are one transaction: the caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, text, update

from casting_core.registry_types import ModelEntry, ModelEvent
from casting_core.types import ModelId, RegisteredModel
from db.errors import NoChampion, NothingToRollBack, UnknownModel
from db.schema import model, model_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Row, Select

    from casting_core.registry_types import ModelEventName


def register_model(
    connection: Connection,
    *,
    version: str,
    artifact_url: str,
    sha256: str,
    card: dict[str, Any],
    who: str,
    why: str,
    metrics: Mapping[str, Any] | None = None,
) -> RegisteredModel:
    """Add a candidate. `sha256` is the artifact's; a load compares it."""
    row = connection.execute(
        insert(model)
        .values(version=version, artifact_url=artifact_url, sha256=sha256, card=card)
        .returning(*_columns())
    ).one()
    _record(connection, row.model_id, "registered", who=who, why=why, metrics=metrics)
    return _registered(row)


def promote_model(
    connection: Connection, version: str, *, who: str, why: str, metrics: Mapping[str, Any] | None = None
) -> RegisteredModel:
    """Make a version the champion and retire the one before; nothing happens where it is champion already.

    `metrics` are the grounds of the decision. Raises UnknownModel.
    """
    lock_promotions(connection)
    promoted = find_model(connection, version)
    if promoted.state == "champion":
        return promoted
    before = find_champion(connection)
    if before is not None:
        _retire(connection, before)
        _record(connection, before.model_id, "retired", who=who, why=f"replaced by {version}")
    return _promote(connection, version, who=who, why=why, metrics=metrics)


def roll_back(connection: Connection, *, who: str, why: str) -> RegisteredModel:
    """Retire the champion and promote the one that it replaced, which is returned.

    Rolling back again goes one champion further back. Raises NoChampion, and NothingToRollBack.
    """
    lock_promotions(connection)
    present = champion(connection)
    earlier = _earlier_champions(connection)
    if not earlier:
        raise NothingToRollBack(
            f"There is no champion before {present.version} to go back to. Promote another version: "
            "casting models promote VERSION --why ..."
        )
    _retire(connection, present)
    _record(connection, present.model_id, "rolled_back", who=who, why=why)
    return _promote(connection, earlier[-1], who=who, why=f"rolled back from {present.version}: {why}", metrics=None)


def lock_promotions(connection: Connection) -> None:
    """Let nobody else change the champion until this transaction ends.

    Otherwise two promotions could both retire the same predecessor and collide on the partial index.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('casting.promote'))"))


def champion(connection: Connection) -> RegisteredModel:
    """Return the model that judges. Raises NoChampion."""
    found = find_champion(connection)
    if found is None:
        raise NoChampion("No model is promoted, so nothing can be judged. Train and promote one, or run: casting demo")
    return found


def find_champion(connection: Connection) -> RegisteredModel | None:
    """Return the model that judges, if there is one."""
    row = connection.execute(_select().where(model.c.state == "champion")).one_or_none()
    return None if row is None else _registered(row)


def find_model(connection: Connection, version: str) -> RegisteredModel:
    """Return a version, whatever its state. Raises UnknownModel, naming those there are."""
    row = connection.execute(_select().where(model.c.version == version)).one_or_none()
    if row is None:
        known = connection.execute(select(model.c.version).order_by(model.c.model_id.desc()).limit(5)).scalars().all()
        raise UnknownModel(f"No model {version!r} is registered. The newest are: {', '.join(known) or 'none'}.")
    return _registered(row)


def list_models(connection: Connection, *, version: str | None = None) -> list[ModelEntry]:
    """Return every model, the newest first, or one version alone. Raises UnknownModel."""
    query = select(*_columns(), model.c.card, model.c.registered_at, model.c.promoted_at)
    if version is not None:
        query = query.where(model.c.model_id == find_model(connection, version).model_id)
    return [
        ModelEntry(model=_registered(row), card=row.card, registered_at=row.registered_at, promoted_at=row.promoted_at)
        for row in connection.execute(query.order_by(model.c.model_id.desc()))
    ]


def model_events(connection: Connection, *, version: str | None = None, most: int | None = None) -> list[ModelEvent]:
    """Return what happened to a version, or to all, the newest first."""
    query = select(model_event, model.c.version).join(model).order_by(model_event.c.event_id.desc()).limit(most)
    if version is not None:
        query = query.where(model.c.version == version)
    return [
        ModelEvent(
            version=row.version,
            event=row.event,
            happened_at=row.happened_at,
            who=row.who,
            why=row.why,
            metrics=row.metrics,
        )
        for row in connection.execute(query)
    ]


def _earlier_champions(connection: Connection) -> list[str]:
    """The champions that the present one stands upon, the latest last: a roll-back took away what came after."""
    standing: list[str] = []
    for event in reversed(model_events(connection)):
        if event.event == "promoted" and standing[-1:] != [event.version]:
            standing.append(event.version)
        elif event.event == "rolled_back":
            standing.pop()
    return standing[:-1]


def _retire(connection: Connection, present: RegisteredModel) -> None:
    connection.execute(update(model).where(model.c.model_id == present.model_id).values(state="retired"))


def _promote(
    connection: Connection, version: str, *, who: str, why: str, metrics: Mapping[str, Any] | None
) -> RegisteredModel:
    row = connection.execute(
        update(model)
        .where(model.c.version == version)
        .values(state="champion", promoted_at=func.now())
        .returning(*_columns())
    ).one()
    _record(connection, row.model_id, "promoted", who=who, why=why, metrics=metrics)
    return _registered(row)


def _record(
    connection: Connection,
    model_id: int,
    event: ModelEventName,
    *,
    who: str,
    why: str,
    metrics: Mapping[str, Any] | None = None,
) -> None:
    connection.execute(
        insert(model_event).values(model_id=model_id, event=event, who=who, why=why, metrics=dict(metrics or {}))
    )


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
