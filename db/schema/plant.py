"""What a plant knows of itself and its parts: shifts, names of lines, facts of single parts."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Identity,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Time,
)

from db.schema.metadata import metadata

shift = Table(
    "shift",
    metadata,
    Column("shift_id", BigInteger, Identity(always=True), primary_key=True),
    Column("line", Text),
    Column("name", Text, nullable=False),
    Column("starts", Time, nullable=False),
    Column("ends", Time, nullable=False),
    Column("weekdays", ARRAY(Integer), nullable=False, server_default="{1,2,3,4,5,6,7}"),
    Column("time_zone", Text, nullable=False, server_default="UTC"),
    CheckConstraint("name <> '' AND line <> ''", name="shift_name_check"),
    CheckConstraint("starts < '24:00' AND ends < '24:00'", name="shift_times_check"),
    CheckConstraint(
        "weekdays <@ '{1,2,3,4,5,6,7}' AND cardinality(weekdays) > 0 AND array_position(weekdays, NULL) IS NULL",
        name="shift_weekdays_check",
    ),
    CheckConstraint("timezone(time_zone, '2000-01-01T00:00Z'::timestamptz) IS NOT NULL", name="shift_time_zone_check"),
)

line_name = Table(
    "line_name",
    metadata,
    Column("line", Text, primary_key=True),
    Column("name", Text, nullable=False),
    CheckConstraint("line <> '' AND name <> ''", name="line_name_check"),
)

part_attribute = Table(
    "part_attribute",
    metadata,
    Column("line", Text, nullable=False),
    Column("part_id", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("day", "line", "part_id", "key", name="part_attribute_pkey"),
    CheckConstraint("key <> '' AND value <> ''", name="part_attribute_key_check"),
    CheckConstraint("key NOT IN ('line', 'shift')", name="part_attribute_reserved_check"),
)
