"""Schema, migrations, queries and SQL views. Knows Postgres; never torch or Prefect."""
