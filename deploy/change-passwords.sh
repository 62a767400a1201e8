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
rm "$secrets"/*_password
"$here/make-secrets.sh" "$secrets"
$compose exec -T postgres psql --username shortwire --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --command "ALTER ROLE shortwire PASSWORD '$(cat "$secrets/postgres_password")'"
for store in cache bus; do
    $compose exec -T "$store" redis-cli --user operator --no-auth-warning --pass "$operator" \
        acl load >/dev/null
done
exec "$here/upgrade.sh"
