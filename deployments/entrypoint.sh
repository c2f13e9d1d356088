#!/bin/sh
# Runs a command with the secrets that lie as files in /run/secrets. A file named like a setting, casting_database_url or
# prefect_api_auth_string, becomes that variable; other files are left alone. So no secret stands in an image, in a
# compose file, on a command line, or in what `docker inspect` shows.
set -eu
for file in "${SECRETS_DIR:-/run/secrets}"/*; do
    name=$(basename "$file" | tr '[:lower:]' '[:upper:]')
    case "$name" in
        CASTING_* | PREFECT_*)
            value=$(cat "$file")
            export "$name=$value"
            ;;
    esac
done
exec "$@"
