#!/bin/sh
# Reads a backup into a system that has no data yet: `deploy/restore.sh FILE`.
#
# Who writes is stopped meanwhile. The schema is the backup's, brought up to date afterwards; the
# passwords are this system's own. All of it happens, or nothing.
set -eu
compose=${COMPOSE:-docker compose}
file=${1:?Which file? for instance: make restore FILE=backups/shortwire-20260101T000000Z.dump}
if ! [ -s "$file" ]; then
    echo "There is no backup $file." >&2
    exit 1
fi

sql() {
    $compose exec -T postgres psql --username shortwire --no-psqlrc --quiet --tuples-only \
        --no-align --set ON_ERROR_STOP=1 --dbname "$1" --command "$2"
}

$compose up --detach --wait postgres cache bus
if [ "$(sql shortwire "SELECT to_regclass('users') IS NOT NULL")" = t ] &&
    [ "$(sql shortwire 'SELECT EXISTS (SELECT FROM users)')" = t ]; then
    echo "There are users in this system: restore into an empty one (docs/operations.md)." >&2
    exit 1
fi
$compose stop autoscaler gateway redirector management webhooks event-ingest
$compose run --rm --no-deps migrate  # makes the roles that the backup grants rights to
sql postgres 'DROP DATABASE IF EXISTS shortwire_restored'
sql postgres 'CREATE DATABASE shortwire_restored'
$compose exec -T postgres pg_restore --username shortwire --dbname shortwire_restored \
    --exit-on-error --single-transaction <"$file"
sql postgres 'DROP DATABASE shortwire WITH (FORCE)'
sql postgres 'ALTER DATABASE shortwire_restored RENAME TO shortwire'
$compose run --rm --no-deps migrate
$compose restart cache  # nothing of the empty system is remembered
$compose up --detach --wait
echo "Restored $file."
