"""Images, verdicts, quarantine, models and scoring runs."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Double,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from db.schema.metadata import TIMESTAMP, metadata

_BY_MONTH = "RANGE (captured_at)"


model = Table(
    "model",
    metadata,
    Column("model_id", BigInteger, Identity(always=True), primary_key=True),
    Column("product", Text, nullable=False, server_default="casting"),
    Column("version", Text, nullable=False),
    Column("artifact_url", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="candidate"),
    Column("card", JSONB, nullable=False),
    Column("registered_at", TIMESTAMP, nullable=False, server_default=func.now()),
    Column("promoted_at", TIMESTAMP),
    UniqueConstraint("version", name="model_version_key"),
    CheckConstraint("state IN ('candidate', 'champion', 'retired')", name="model_state_check"),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="model_sha256_check"),
    CheckConstraint("state = 'candidate' OR promoted_at IS NOT NULL", name="model_promoted_check"),
    Index("model_champion_key", "product", unique=True, postgresql_where=text("state = 'champion'")),
)

scoring_run = Table(
    "scoring_run",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("flow_run_id", Uuid),
    Column("model_id", BigInteger, ForeignKey("model.model_id"), nullable=False),
    Column("since", TIMESTAMP, nullable=False),
    Column("until", TIMESTAMP, nullable=False),
    Column("lines", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False, server_default="running"),
    Column("started_at", TIMESTAMP, nullable=False, server_default=func.now()),
    Column("finished_at", TIMESTAMP),
    Column("seconds", Double),
    Column("discovered", BigInteger, nullable=False, server_default=text("0")),
    Column("ok", BigInteger, nullable=False, server_default=text("0")),
    Column("defective", BigInteger, nullable=False, server_default=text("0")),
    Column("review", BigInteger, nullable=False, server_default=text("0")),
    Column("quarantined", BigInteger, nullable=False, server_default=text("0")),
    Column("backlog", BigInteger),
    Column("unmatched_keys", BigInteger, nullable=False, server_default=text("0")),
    Column("unmatched_examples", ARRAY(Text), nullable=False, server_default="{}"),
    Column("unsettled", BigInteger, nullable=False, server_default=text("0")),
    Column("error", Text),
    Column("scored", BigInteger, Computed("ok + defective + review", persisted=True)),
    CheckConstraint("state IN ('running', 'completed', 'failed', 'died')", name="scoring_run_state_check"),
    CheckConstraint("since < until", name="scoring_run_window_check"),
    CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="scoring_run_finished_check"),
    CheckConstraint(
        "least(discovered, ok, defective, review, quarantined, unmatched_keys, unsettled) >= 0",
        name="scoring_run_counts_check",
    ),
    Index("scoring_run_running_idx", "started_at", postgresql_where=text("state = 'running'")),
    Index("scoring_run_started_idx", "started_at"),
)

run_stage = Table(
    "run_stage",
    metadata,
    Column("run_id", Uuid, ForeignKey("scoring_run.run_id"), nullable=False),
    Column("stage", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    PrimaryKeyConstraint("run_id", "stage", name="run_stage_pkey"),
    CheckConstraint("stage IN ('discover', 'fetch', 'decode', 'forward', 'write')", name="run_stage_stage_check"),
    CheckConstraint("seconds >= 0 AND seconds < 'Infinity'", name="run_stage_seconds_check"),
)

image = Table(
    "image",
    metadata,
    Column("image_id", BigInteger, Identity(always=True), nullable=False),
    Column("captured_at", TIMESTAMP, nullable=False),
    Column("uri", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("part_id", Text, nullable=False),
    Column("view", Text, nullable=False, server_default=""),
    Column("size", BigInteger, nullable=False),
    Column("stored_at", TIMESTAMP, nullable=False),
    Column("discovered_at", TIMESTAMP, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("image_id", "captured_at", name="image_pkey"),
    UniqueConstraint("uri", "etag", "captured_at", name="image_uri_etag_key"),
    CheckConstraint("size >= 0", name="image_size_check"),
    Index("image_captured_idx", "captured_at", "line"),
    Index("image_part_idx", "part_id"),
    postgresql_partition_by=_BY_MONTH,
)

verdict = Table(
    "verdict",
    metadata,
    Column("image_id", BigInteger, nullable=False),
    Column("captured_at", TIMESTAMP, nullable=False),
    Column("model_id", BigInteger, ForeignKey("model.model_id"), nullable=False),
    Column("run_id", Uuid, ForeignKey("scoring_run.run_id"), nullable=False),
    Column("p_defective", Double, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("judged_at", TIMESTAMP, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("image_id", "model_id", "captured_at", name="verdict_pkey"),
    CheckConstraint("p_defective BETWEEN 0 AND 1", name="verdict_p_defective_check"),
    CheckConstraint("verdict IN ('ok', 'defective', 'review')", name="verdict_verdict_check"),
    CheckConstraint("octet_length(sha256) = 32", name="verdict_sha256_check"),
    postgresql_partition_by=_BY_MONTH,
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("image_id", BigInteger, nullable=False),
    Column("captured_at", TIMESTAMP, nullable=False),
    Column("run_id", Uuid, ForeignKey("scoring_run.run_id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("sha256", LargeBinary),
    Column("quarantined_at", TIMESTAMP, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("image_id", "captured_at", name="quarantine_pkey"),
    CheckConstraint(
        "reason IN ('unreadable', 'truncated', 'not_an_image', 'too_small', 'too_large', 'blank', 'missing', "
        "'access_denied')",
        name="quarantine_reason_check",
    ),
    CheckConstraint("octet_length(sha256) = 32", name="quarantine_sha256_check"),
    Index("quarantine_captured_idx", "captured_at"),
    postgresql_partition_by=_BY_MONTH,
)
