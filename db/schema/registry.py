"""Labels by people, the events of models, the golden set and retraining runs."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from db.schema.metadata import TIMESTAMP, metadata

_LABELS = "label IN ('ok', 'defective')"

label = Table(
    "label",
    metadata,
    Column("label_id", BigInteger, Identity(always=True), primary_key=True),
    Column("image_id", BigInteger, nullable=False),
    Column("captured_at", TIMESTAMP, nullable=False),
    Column("label", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("labelled_at", TIMESTAMP, nullable=False, server_default=func.now()),
    Column("recorded_at", TIMESTAMP, nullable=False, server_default=func.now()),
    CheckConstraint(_LABELS, name="label_label_check"),
    CheckConstraint("who <> ''", name="label_who_check"),
    CheckConstraint("labelled_at <= recorded_at", name="label_time_check"),
    Index("label_image_idx", "image_id", "captured_at", text("labelled_at DESC"), text("label_id DESC")),
)

model_event = Table(
    "model_event",
    metadata,
    Column("event_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model_id", BigInteger, ForeignKey("model.model_id"), nullable=False),
    Column("event", Text, nullable=False),
    Column("happened_at", TIMESTAMP, nullable=False, server_default=func.now()),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("metrics", JSONB, nullable=False, server_default="{}"),
    CheckConstraint("event IN ('registered', 'promoted', 'retired', 'rolled_back')", name="model_event_event_check"),
    CheckConstraint("who <> ''", name="model_event_who_check"),
    Index("model_event_model_idx", "model_id", "event_id"),
)

retrain_run = Table(
    "retrain_run",
    metadata,
    Column("retrain_id", Uuid, primary_key=True),
    Column("flow_run_id", Uuid),
    Column("state", Text, nullable=False, server_default="running"),
    Column("phase", Text, nullable=False, server_default="snapshot"),
    Column("who", Text, nullable=False),
    Column("started_at", TIMESTAMP, nullable=False, server_default=func.now()),
    Column("finished_at", TIMESTAMP),
    Column("snapshot_sha256", Text),
    Column("images", BigInteger),
    Column("new_labels", BigInteger),
    Column("outcome", Text),
    Column("why", Text),
    Column("challenger_id", BigInteger, ForeignKey("model.model_id")),
    Column("champion_id", BigInteger, ForeignKey("model.model_id")),
    Column("comparison", JSONB),
    CheckConstraint("state IN ('running', 'completed', 'failed', 'died')", name="retrain_run_state_check"),
    CheckConstraint("outcome IN ('too_few_labels', 'candidate', 'promoted')", name="retrain_run_outcome_check"),
    CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="retrain_run_finished_check"),
    CheckConstraint("(state = 'completed') = (outcome IS NOT NULL)", name="retrain_run_completed_check"),
    CheckConstraint(
        "(coalesce(outcome, 'too_few_labels') = 'too_few_labels') = (challenger_id IS NULL)",
        name="retrain_run_challenger_check",
    ),
    Index("retrain_run_running_key", "state", unique=True, postgresql_where=text("state = 'running'")),
    Index("retrain_run_started_idx", "started_at"),
)

snapshot_label = Table(
    "snapshot_label",
    metadata,
    Column("uri", Text, nullable=False),
    Column("retrain_id", Uuid, ForeignKey("retrain_run.retrain_id"), nullable=False),
    Column("label", Text, nullable=False),
    PrimaryKeyConstraint("uri", "retrain_id", name="snapshot_label_pkey"),
    CheckConstraint(_LABELS, name="snapshot_label_label_check"),
)

golden_image = Table(
    "golden_image",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    Column("uri", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("casting", BigInteger, nullable=False),
    Column("part_id", Text),
    Column("frozen_at", TIMESTAMP, nullable=False, server_default=func.now()),
    CheckConstraint("octet_length(sha256) = 32", name="golden_image_sha256_check"),
    CheckConstraint(_LABELS, name="golden_image_label_check"),
    Index("golden_image_uri_idx", "uri"),
)
