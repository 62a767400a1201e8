#!/bin/sh
# Draws every password of the stores anew, without losing a request: `deploy/change-passwords.sh`.
#
# Until a service is replaced it goes on with what it has open; a redirector that has to connect
# again meanwhile does without Redis, and keeps its clicks in the journal.
set -eu
compose=${COMPOSE:-docker compose}
secrets=${SECRETS_DIR:-./secrets}
here=$(dirname "$0")

operator=$(cat "$secrets/redis_operator_password")
for password in "$secrets"/*_password; do
    # Grafana's is a person's, and is read at its first start only.
    [ "${password##*/}" = grafana_password ] || rm "$password"
done
"$here/make-secrets.sh" "$secrets"
$compose exec -T postgres psql --username shortwire --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --command "ALTER ROLE shortwire PASSWORD '$(cat "$secrets/postgres_password")'"
for store in cache bus; do
    $compose exec -T "$store" redis-cli --user operator --no-auth-warning --pass "$operator" \
        acl load >/dev/null
done
"$here/upgrade.sh"
# Who watches the stores, where compose.observability.yaml is laid over.
exporters='postgres-exporter cache-exporter bus-exporter'
# shellcheck disable=SC2086 # three words
if [ -n "$($compose ps --quiet $exporters 2>/dev/null)" ]; then
    $compose run --rm --no-deps monitor-role
    $compose up --detach --no-deps --no-build --force-recreate --wait $exporters
fi
