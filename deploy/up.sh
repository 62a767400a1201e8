#!/bin/sh
# Starts what does not run and replaces what changed; replicas that the autoscaler added stay:
# `deploy/up.sh [OPTIONS OF docker compose up]`.
set -eu
compose=${COMPOSE:-docker compose}
. "$(dirname "$0")/replicas.sh"

keep_replicas
$compose up --detach --wait "$@"
