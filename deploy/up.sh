#!/bin/sh
# Starts what does not run and replaces what changed; replicas that the autoscaler added stay:
# `deploy/up.sh [OPTIONS OF docker compose up]`.
set -eu
compose=${COMPOSE:-docker compose}
. "$(dirname "$0")/replicas.sh"

# shellcheck disable=SC2046 # options are words
$compose up --detach --wait $(scale_as_it_is) "$@"
