#!/bin/sh
# Makes what is missing of the secrets that compose.yaml mounts: `deploy/make-secrets.sh [FOLDER]`.
#
# Only this user may enter the folder; the files in it can be read by every user, because a
# container sees the file, not the folder, and runs as a user that does not exist here.
# To change a password, remove its file and run this again: what is made of it is made anew.
set -eu
folder=${1:-secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"
umask 022

draw() {
    [ -s "$1" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$1"
}
# derive FILE TEXT: written where it says something else. Into the same file, not a new one: a
# running container goes on seeing the one it was started with.
derive() {
    if [ "$(cat "$1" 2>/dev/null)" != "$2" ]; then
        printf '%s\n' "$2" >"$1"
    fi
}
sha256() {
    { sha256sum 2>/dev/null || shasum -a 256; } <"$1" | cut -d' ' -f1
}

for name in postgres_password redirector_db_password management_db_password ingest_db_password \
    redis_redirector_password redis_management_password redis_ingest_password \
    redis_autoscaler_password redis_operator_password redis_monitor_password \
    monitor_db_password grafana_password; do
    draw "$name"
done
for name in smtp_auth discord_webhook_url; do  # yours to fill; empty: alerts go elsewhere
    [ -e "$name" ] || : >"$name"
done

database() {
    derive "$1_dsn" "postgres://$2:$(cat "$3")@postgres:5432/shortwire?sslmode=disable"
}
database owner shortwire postgres_password
database redirector shortwire_redirector redirector_db_password
database management shortwire_management management_db_password
database ingest shortwire_ingest ingest_db_password

redis() {
    derive "$1_$2_url" "redis://$1:$(cat "redis_$1_password")@$2:6379/0"
}
redis redirector cache
redis redirector bus
redis management cache
redis management bus
redis ingest bus
redis autoscaler bus

# Who may do what in Redis. Without a user one may only PING, which is the health check.
commands='+@all -@admin -@dangerous +info +cluster|slots'
user() {  # user NAME RULES
    printf 'user %s on #%s %s\n' "$1" "$(sha256 "redis_$1_password")" "$2"
}
nobody='user default on nopass -@all +ping'
monitor='-@all +ping +info +client|setname +slowlog|len +latency|latest +latency|histogram'
derive cache.acl "$nobody
$(user operator '~* &* +@all')
$(user redirector "~u:* ~l:* ~tries:* $commands")
$(user management "~* $commands")
$(user monitor "$monitor")"
derive bus.acl "$nobody
$(user operator '~* &* +@all')
$(user redirector "%W~clicks %W~clicks:* %R~links ~taken:* ~orphans:* $commands")
$(user management "~* $commands")
$(user ingest "~clicks ~clicks:* ~clicks.dead ~ingest:* ~visitors:* %R~orphans:* $commands")
$(user autoscaler "%R~clicks %R~clicks:* ~autoscaler:* $commands")
$(user monitor "$monitor")"
chmod 644 ./*
