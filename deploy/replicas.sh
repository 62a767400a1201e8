# How many replicas run; sourced by the scripts beside it, after `compose` is set.
#
# Numbers are passed on in the variables of compose.yaml, so that every `up` sees the same service.

count_replicas() {
    $compose ps --quiet "$1" 2>/dev/null | grep -c . || true
}
configured_replicas() {
    $compose config | sed -n "/^  $1:/,/^  [a-z]/s/^ *replicas: *//p" | head -n 1
}
number_variable() {
    case $1 in
        redirector) echo REDIRECTORS ;;
        management) echo MANAGEMENTS ;;
        event-ingest) echo INGESTS ;;
    esac
}
# `docker compose up` brings a service to its number in .env: it would take away what the autoscaler
# added. From here on it does not.
keep_replicas() {
    [ "$(count_replicas autoscaler)" -gt 0 ] || return 0
    for scaled in redirector management event-ingest; do
        running=$(count_replicas "$scaled")
        if [ "$running" -gt "$(configured_replicas "$scaled")" ]; then
            export "$(number_variable "$scaled")=$running"
        fi
    done
}
