#!/bin/sh
# Starts Alertmanager with the receivers that were set up; without one, alerts are only shown.
#
#   ALERT_MAIL_TO, ALERT_MAIL_FROM     who gets mail, and from whom; empty: no mail
#   ALERT_SMTP                         host:port of the mail server
#   ALERT_SMTP_USER                    empty: it asks for no password
#   ALERT_SMTP_TLS                     true: STARTTLS or nothing
#   SMTP_AUTH_FILE                     a secret, the password; may be empty
#   DISCORD_WEBHOOK_FILE               a secret: the webhook's URL; empty: no Discord
#   CONFIG_DIR                         alertmanager.yml and this script
#   RENDERED                           where the whole configuration goes; it may hold the URL
#   ALERTMANAGER                       the program
set -eu
umask 077
config=${CONFIG_DIR:-/etc/alertmanager}
rendered=${RENDERED:-/tmp/alertmanager.yml}
discord=${DISCORD_WEBHOOK_FILE:-/run/secrets/discord_webhook_url}
password=${SMTP_AUTH_FILE:-/run/secrets/smtp_auth}

mail() {
    [ -n "${ALERT_MAIL_TO:-}" ] || return 0
    cat <<END
    email_configs:
      - to: '$ALERT_MAIL_TO'
        from: '${ALERT_MAIL_FROM:-$ALERT_MAIL_TO}'
        smarthost: '${ALERT_SMTP:?is needed for mail: host:port}'
        require_tls: ${ALERT_SMTP_TLS:-true}
        send_resolved: true
        headers:
          Subject: '[$1] {{ .GroupLabels.alertname }} {{ .GroupLabels.service }} {{ .Status }}'
END
    [ -n "${ALERT_SMTP_USER:-}" ] || return 0
    cat <<END
        auth_username: '$ALERT_SMTP_USER'
        auth_password_file: '$password'
END
}
chat() {
    [ -s "$discord" ] || return 0
    cat <<END
    discord_configs:
      - webhook_url: '$(cat "$discord")'
        send_resolved: true
        title: '[$1] {{ .GroupLabels.alertname }} {{ .GroupLabels.service }} {{ .Status }}'
        message: |-
          {{ range .Alerts }}{{ .Annotations.summary }} ({{ .Annotations.runbook_url }})
          {{ end }}
END
}
{
    cat "$config/alertmanager.yml"
    echo
    echo 'receivers:'
    for receiver in critical warning; do
        echo "  - name: $receiver"
        mail "$receiver"
        chat "$receiver"
    done
} >"$rendered"
exec "${ALERTMANAGER:-alertmanager}" --config.file="$rendered" "$@"
