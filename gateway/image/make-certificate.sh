#!/bin/sh
# Makes a self-signed certificate where none is, or where ours is about to end. A certificate
# that somebody else issued is left alone.
set -eu
folder=/etc/shortwire/tls
chain=$folder/fullchain.pem
key=$folder/privkey.pem
month_seconds=2592000

if [ -s "$chain" ] && [ -s "$key" ]; then
    openssl x509 -in "$chain" -noout -checkend "$month_seconds" && exit 0
    issuer=$(openssl x509 -in "$chain" -noout -issuer)
    if [ "$issuer" != "issuer=O=Shortwire self-signed, CN=$TLS_NAME" ]; then
        echo "The certificate ends within a month: renew it where it was issued." >&2
        exit 0
    fi
fi
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 397 \
    -subj "/O=Shortwire self-signed/CN=$TLS_NAME" -addext "subjectAltName=DNS:$TLS_NAME" \
    -keyout "$key.new" -out "$chain.new"
mv "$key.new" "$key"
mv "$chain.new" "$chain"
echo "Made a self-signed certificate for $TLS_NAME."
