"""Baselines, the state of watched streams, alerts, their events and deliveries."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from db.schema.metadata import TIMESTAMP, metadata

baseline = Table(
    "baseline",
    metadata,
    Column("baseline_id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("rate", Double, nullable=False),
    Column("low", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("counted", Double, nullable=False),
    Column("inspected", BigInteger, nullable=False),
    Column("own_weight", Double, nullable=False),
    Column("icc", Double, nullable=False),
    Column("parts_per_hour", Double, nullable=False),
    Column("model_id", BigInteger, ForeignKey("model.model_id")),
    Column("reference_since", TIMESTAMP, nullable=False),
    Column("reference_until", TIMESTAMP, nullable=False),
    Column("valid_from", TIMESTAMP, nullable=False),
    Column("set_at", TIMESTAMP, nullable=False, server_default=func.now()),
    Column("set_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("details", JSONB, nullable=False, server_default="{}"),
    CheckConstraint(
        "kind IN ('defect_rate_climb', 'quarantine_rate_climb', 'review_rate_climb')", name="baseline_kind_check"
    ),
    CheckConstraint(
        "rate > 0 AND rate < 1 AND low BETWEEN 0 AND rate AND high BETWEEN rate AND 1", name="baseline_rate_check"
    ),
    CheckConstraint("inspected >= 0 AND counted BETWEEN 0 AND inspected", name="baseline_counts_check"),
    CheckConstraint("own_weight BETWEEN 0 AND 1 AND icc >= 0 AND icc < 1", name="baseline_share_check"),
    CheckConstraint("reference_since < reference_until", name="baseline_reference_check"),
    Index("baseline_stream_idx", "kind", "stream", "baseline_id"),
)

stream_state = Table(
    "stream_state",
    metadata,
    Column("stream", Text, nullable=False),
    Column("hour", TIMESTAMP, nullable=False),
    Column("seen", JSONB, nullable=False),
    Column("charts", JSONB, nullable=False),
    Column("watched_at", TIMESTAMP, nullable=False, server_default=func.now()),
    Column("line", Text, nullable=False),
    PrimaryKeyConstraint("stream", "hour", name="stream_state_pkey"),
    Index("stream_state_line_idx", "line", "hour"),
)

stream_change = Table(
    "stream_change",
    metadata,
    Column("change_id", BigInteger, Identity(always=True), primary_key=True),
    Column("stream", Text, nullable=False),
    Column("hour", TIMESTAMP, nullable=False),
)

alert = Table(
    "alert",
    metadata,
    Column("alert_id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("stream", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("opened_at", TIMESTAMP, nullable=False),
    Column("updated_at", TIMESTAMP, nullable=False),
    Column("resolved_at", TIMESTAMP),
    Column("resolved_by", Text),
    Column("signal", Text, nullable=False),
    Column("since_low", TIMESTAMP),
    Column("since", TIMESTAMP),
    Column("since_high", TIMESTAMP),
    Column("parts", BigInteger),
    Column("observed_rate", Double),
    Column("corrected_rate", Double),
    Column("corrected_low", Double),
    Column("corrected_high", Double),
    Column("baseline_rate", Double),
    Column("evidence", JSONB, nullable=False, server_default="{}"),
    Column("examples", ARRAY(Text), nullable=False, server_default="{}"),
    Column("part_of", BigInteger, ForeignKey("alert.alert_id")),
    CheckConstraint(
        "kind IN ('defect_rate_climb', 'quarantine_rate_climb', 'review_rate_climb', 'score_drift', 'no_images', "
        "'scoring_stalled')",
        name="alert_kind_check",
    ),
    CheckConstraint("severity IN ('warning', 'critical')", name="alert_severity_check"),
    CheckConstraint("state IN ('open', 'acknowledged', 'resolved')", name="alert_state_check"),
    CheckConstraint(
        "(state = 'resolved') = (resolved_at IS NOT NULL) AND (state = 'resolved') = (resolved_by IS NOT NULL)",
        name="alert_resolved_check",
    ),
    CheckConstraint(
        "(since_low <= since AND since <= since_high) IS TRUE OR num_nonnulls(since_low, since, since_high) = 0",
        name="alert_since_check",
    ),
    CheckConstraint("part_of <> alert_id", name="alert_part_of_check"),
    Index("alert_unresolved_key", "stream", "kind", unique=True, postgresql_where=text("state <> 'resolved'")),
    Index("alert_stream_idx", "stream", "kind", "alert_id"),
    Index("alert_opened_idx", "opened_at"),
)

alert_event = Table(
    "alert_event",
    metadata,
    Column("event_id", BigInteger, Identity(always=True), primary_key=True),
    Column("alert_id", BigInteger, ForeignKey("alert.alert_id"), nullable=False),
    Column("at", TIMESTAMP, nullable=False),
    Column("event", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("details", JSONB, nullable=False, server_default="{}"),
    CheckConstraint(
        "event IN ('opened', 'updated', 'acknowledged', 'resolved', 'reopened', 'snoozed')",
        name="alert_event_event_check",
    ),
    CheckConstraint("who <> '' AND why <> ''", name="alert_event_who_check"),
    Index("alert_event_alert_idx", "alert_id", "event_id"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("delivery_id", BigInteger, Identity(always=True), primary_key=True),
    Column("alert_id", BigInteger, ForeignKey("alert.alert_id"), nullable=False),
    Column("event_id", BigInteger, ForeignKey("alert_event.event_id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("payload", JSONB, nullable=False, server_default="{}"),
    Column("created_at", TIMESTAMP, nullable=False, server_default=func.now()),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", TIMESTAMP, nullable=False, server_default=func.now()),
    Column("delivered_at", TIMESTAMP),
    Column("last_error", Text),
    UniqueConstraint("idempotency_key", name="delivery_idempotency_key"),
    CheckConstraint("attempts >= 0", name="delivery_attempts_check"),
    Index("delivery_due_idx", "next_attempt_at", postgresql_where=text("delivered_at IS NULL")),
    Index("delivery_alert_idx", "alert_id"),
)

snooze = Table(
    "snooze",
    metadata,
    Column("snooze_id", BigInteger, Identity(always=True), primary_key=True),
    Column("line", Text, nullable=False),
    Column("since", TIMESTAMP, nullable=False, server_default=func.now()),
    Column("until", TIMESTAMP, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    CheckConstraint("since < until", name="snooze_window_check"),
    Index("snooze_until_idx", "until"),
)

maintenance_window = Table(
    "maintenance_window",
    metadata,
    Column("window_id", BigInteger, Identity(always=True), primary_key=True),
    Column("line", Text, nullable=False),
    Column("since", TIMESTAMP, nullable=False),
    Column("until", TIMESTAMP, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    CheckConstraint("since < until", name="maintenance_window_check"),
    Index("maintenance_window_until_idx", "until"),
)
