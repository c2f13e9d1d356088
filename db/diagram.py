"""The tables and how they hang together, as the text of a Mermaid diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.dialects import postgresql

if TYPE_CHECKING:
    from sqlalchemy import Column, MetaData


def entity_relationships(metadata: MetaData) -> str:
    """Draw every table with its columns and foreign keys as a Mermaid entity-relationship diagram.

    A relation is drawn by `db.schema`'s foreign keys; what only a trigger holds is not in it.
    """
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    lines = ["erDiagram"]
    for table in tables:
        lines += [f"    {table.name} {{"]
        lines += [f"        {_type(column)} {column.name}{_keys(column)}" for column in table.columns]
        lines += ["    }"]
    for table in tables:
        for key in sorted(table.foreign_key_constraints, key=lambda key: tuple(key.column_keys)):
            label = ", ".join(column.name for column in key.columns)
            many = "|o--o{" if any(column.nullable for column in key.columns) else "||--o{"
            lines += [f'    {key.referred_table.name} {many} {table.name} : "{label}"']
    return "\n".join(lines) + "\n"


def _type(column: Column[object]) -> str:
    """The column's type as one word, as Mermaid wants it."""
    name = column.type.compile(dialect=postgresql.dialect()).lower()  # type: ignore[no-untyped-call]
    return {"timestamp with time zone": "timestamptz", "double precision": "float8"}.get(name, name.split()[0])


def _keys(column: Column[object]) -> str:
    keys = [name for name, is_one in (("PK", column.primary_key), ("FK", bool(column.foreign_keys))) if is_one]
    return " " + ", ".join(keys) if keys else ""
