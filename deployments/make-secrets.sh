#!/bin/sh
# Makes the secrets of compose.yaml: random passwords, and the addresses that hold them. Files that exist stay as they are.
#
#     deployments/make-secrets.sh deployments/secrets
set -eu
folder=${1:?the folder to make them in}
mkdir -p "$folder"
# Others may not enter the folder; within it the users of the containers, whoever they are here, must read.
chmod 700 "$folder"
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "$folder/$1" ] || printf %s "$2" >"$folder/$1"; chmod 444 "$folder/$1"; }

keep postgres_password "$(random)"
keep owner_password "$(random)"
keep writer_password "$(random)"
keep prefect_password "$(random)"
keep owner_database_url "postgresql://casting_owner:$(cat "$folder/owner_password")@postgres:5432/casting"
keep writer_database_url "postgresql://casting_writer:$(cat "$folder/writer_password")@postgres:5432/casting"
keep prefect_database_url "postgresql+asyncpg://prefect:$(cat "$folder/prefect_password")@postgres:5432/prefect"
keep prefect_auth "casting:$(random)"
keep s3_access_key_id casting
keep s3_secret_access_key "$(random)"
# Where alerts go, as in ALERTS.md; empty: nobody hears of them.
[ -e "$folder/alert_urls" ] || : >"$folder/alert_urls"
chmod 444 "$folder/alert_urls"
