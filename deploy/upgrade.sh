#!/bin/sh
# Replaces what runs by what is checked out, without losing a request: `deploy/upgrade.sh`.
#
# The schema first: the release before runs on it, too. Then service after service: new replicas
# beside the old ones, and only when those are healthy, the old ones go, one by one. As many run
# afterwards as before; the autoscaler waits meanwhile.
set -eu
compose=${COMPOSE:-docker compose}
secrets=${SECRETS_DIR:-./secrets}
. "$(dirname "$0")/replicas.sh"

FORGET_SECONDS=2  # until the gateway's resolver knows that one is gone

replicas() {
    $compose ps --quiet "$1"
}
replace() {
    service=$1
    old=$(replicas "$service")
    count=$(printf '%s\n' "$old" | grep -c .) || true
    if [ "$count" -eq 0 ]; then
        return  # `up` below starts it
    fi
    echo "Replacing $count of $service …"
    # Never --no-deps: what Compose 2.26 makes with it, the next `up` without it makes anew.
    env "$(number_variable "$service")=$((2 * count))" \
        $compose up --detach --no-build --no-recreate --wait "$service"
    for container in $old; do
        docker stop "$container" >/dev/null
        docker rm "$container" >/dev/null
        sleep "$FORGET_SECONDS"
    done
}
reload_users() {  # the release may bring one
    $compose exec -T "$1" redis-cli --user operator --no-auth-warning \
        --pass "$(cat "$secrets/redis_operator_password")" acl load >/dev/null
}

$compose build
keep_replicas
$compose stop autoscaler
$compose up --detach --no-build --wait postgres cache bus
reload_users cache
reload_users bus
$compose run --rm --no-deps migrate
$compose rm --force --stop migrate >/dev/null  # the one of before: services depend on the new one
for service in event-ingest management redirector; do
    replace "$service"
done
# The gateway keeps its port: it is away for about a second, and only if it changed. By itself, or
# it would be stopped first and started last.
$compose up --detach --no-build --wait gateway
$compose up --detach --no-build --wait --remove-orphans
