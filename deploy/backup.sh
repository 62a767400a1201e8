#!/bin/sh
# Writes the database into one file, while everything runs: `deploy/backup.sh [FILE]`.
#
# It holds users, links, keys and events. Clicks that are still on their way (in a journal, on the
# bus) are not in it; they reach PostgreSQL within a second where it answers.
set -eu
compose=${COMPOSE:-docker compose}
file=${1:-backups/shortwire-$(date -u +%Y%m%dT%H%M%SZ).dump}

umask 077
mkdir -p "$(dirname "$file")"
trap 'rm -f "$file.part"' EXIT
$compose exec -T postgres pg_dump --username shortwire --format custom --compress 6 shortwire \
    >"$file.part"
# A dump that ends too early has no table of contents to read.
$compose exec -T postgres pg_restore --list <"$file.part" >/dev/null
mv "$file.part" "$file"
echo "$file"
