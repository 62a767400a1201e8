# How many replicas run; sourced by the scripts beside it, after `compose` is set.

count_replicas() {
    $compose ps --quiet "$1" 2>/dev/null | grep -c . || true
}
configured_replicas() {
    $compose config | sed -n "/^  $1:/,/^  [a-z]/s/^ *replicas: *//p" | head -n 1
}
# `docker compose up` brings a service to the number in compose.yaml: it would take away what the
# autoscaler added. Prints the options that keep it.
scale_as_it_is() {
    [ "$(count_replicas autoscaler)" -gt 0 ] || return 0
    for scaled in redirector management event-ingest; do
        running=$(count_replicas "$scaled")
        if [ "$running" -gt "$(configured_replicas "$scaled")" ]; then
            printf -- '--scale %s=%s ' "$scaled" "$running"
        fi
    done
}
