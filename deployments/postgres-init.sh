#!/bin/sh
# Runs once, when the Postgres container makes its empty database: who owns the product's tables, who writes them, and
# where Prefect keeps its runs. Readers get their passwords from people: see DATABASE.md.
set -eu
secrets=${SECRETS_DIR:-/run/secrets}
psql --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=postgres \
    --set=owner="$(cat "$secrets/owner_password")" \
    --set=writer="$(cat "$secrets/writer_password")" \
    --set=prefect="$(cat "$secrets/prefect_password")" <<'SQL'
-- CREATEROLE, since the first upgrade makes the roles of readers and reviewers.
CREATE ROLE casting_owner LOGIN CREATEROLE PASSWORD :'owner';
CREATE ROLE casting_writer LOGIN PASSWORD :'writer';
CREATE DATABASE casting OWNER casting_owner;
-- Nobody else comes in but who is let in.
REVOKE CONNECT ON DATABASE casting FROM PUBLIC;
GRANT CONNECT ON DATABASE casting TO casting_writer, casting_owner;
CREATE ROLE prefect LOGIN PASSWORD :'prefect';
CREATE DATABASE prefect OWNER prefect;
SQL
