"""Roll-ups of the history, the marks of what is due for a recount, and archived months."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Double,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)

from db.schema.metadata import TIMESTAMP, metadata

part = Table(
    "part",
    metadata,
    Column("captured_at", TIMESTAMP, nullable=False),
    Column("line", Text, nullable=False),
    Column("part_id", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("p_defective", Double, nullable=False),
    Column("views", BigInteger, nullable=False),
    Column("worst_view", Text, nullable=False),
    Column("image_id", BigInteger, nullable=False),
    Column("model_id", BigInteger, nullable=False),
    Column("judged_at", TIMESTAMP, nullable=False),
    Column("label", Text),
    PrimaryKeyConstraint("captured_at", "line", "part_id", name="part_pkey"),
    Index("part_part_idx", "part_id"),
    postgresql_partition_by="RANGE (captured_at)",
)

part_hour = Table(
    "part_hour",
    metadata,
    Column("line", Text, nullable=False),
    Column("hour", TIMESTAMP, nullable=False),
    Column("inspected", BigInteger, nullable=False),
    Column("ok", BigInteger, nullable=False),
    Column("defective", BigInteger, nullable=False),
    Column("review", BigInteger, nullable=False),
    Column("p_sum", Double, nullable=False),
    Column("labelled", BigInteger, nullable=False),
    Column("labelled_defective", BigInteger, nullable=False),
    Column("escapes", BigInteger, nullable=False),
    Column("false_rejects", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("scored", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    Column("lag_p50_seconds", Double),
    Column("lag_p95_seconds", Double),
    Column("lag_max_seconds", Double),
    Column("rival_models", ARRAY(BigInteger), nullable=False),
    PrimaryKeyConstraint("line", "hour", name="part_hour_pkey"),
    CheckConstraint("inspected = ok + defective + review", name="part_hour_parts_check"),
    CheckConstraint("images >= scored + quarantined", name="part_hour_images_check"),
    Index("part_hour_rivals_idx", "hour", postgresql_where=text("rival_models <> '{}'")),
)

attribute_hour = Table(
    "attribute_hour",
    metadata,
    Column("line", Text, nullable=False),
    Column("hour", TIMESTAMP, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("inspected", BigInteger, nullable=False),
    Column("defective", BigInteger, nullable=False),
    PrimaryKeyConstraint("hour", "line", "key", "value", name="attribute_hour_pkey"),
    CheckConstraint("inspected > 0 AND defective BETWEEN 0 AND inspected", name="attribute_hour_parts_check"),
)

rollup_stale = Table(
    "rollup_stale",
    metadata,
    Column("mark_id", BigInteger, Identity(always=True), primary_key=True),
    Column("line", Text),
    Column("day", Date),
    Column("model_id", BigInteger),
    Column("marked_at", TIMESTAMP, nullable=False, server_default=func.now()),
    CheckConstraint(
        text("num_nonnulls(line, day) = CASE WHEN model_id IS NULL THEN 2 ELSE 0 END"),
        name="rollup_stale_subject_check",
    ),
    Index("rollup_stale_line_day_idx", "line", "day", postgresql_where=text("line IS NOT NULL")),
    Index("rollup_stale_model_idx", "model_id", postgresql_where=text("model_id IS NOT NULL")),
)

archived_month = Table(
    "archived_month",
    metadata,
    Column("month", Date, primary_key=True),
    Column("url", Text, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("verdicts", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    Column("labels", BigInteger, nullable=False),
    Column("archived_at", TIMESTAMP, nullable=False, server_default=func.now()),
    CheckConstraint("extract(day FROM month) = 1", name="archived_month_month_check"),
)
