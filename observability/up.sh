#!/bin/sh
# Starts Shortwire with what watches it, or adds that to what runs: `make up-observability`.
set -eu
compose=${COMPOSE:-docker compose}
export COMPOSE_FILE=compose.yaml:compose.observability.yaml
secrets=${SECRETS_DIR:-secrets}

# Redis reads its users at its start: one that runs since before the exporters' user was made has
# to read them again.
for store in cache bus; do
    if [ -n "$($compose ps --quiet --status running "$store")" ]; then
        REDISCLI_AUTH=$(cat "$secrets/redis_operator_password") $compose exec -T \
            -e REDISCLI_AUTH "$store" redis-cli --user operator --no-auth-warning acl load >/dev/null
    fi
done
deploy/up.sh --build --remove-orphans
cat <<END

  Grafana       http://$($compose port grafana 3000)   user admin, password in $secrets/grafana_password
  Prometheus    http://$($compose port prometheus 9090)
  Alertmanager  http://$($compose port alertmanager 9093)
  Jaeger        http://$($compose port jaeger 16686)
END
if ! grep -qs "^COMPOSE_FILE=$COMPOSE_FILE\$" .env; then
    printf '\n  To have make up, down, logs and upgrade know of them, write into .env:\n'
    printf '  COMPOSE_FILE=%s\n' "$COMPOSE_FILE"
fi
