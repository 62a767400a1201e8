#!/bin/sh
# Says where the containers answer, and how the first admin key is made.
set -eu
compose=${COMPOSE:-docker compose}

address() {
    $compose port gateway "$1" | head -n 1 | sed -e 's/^0\.0\.0\.0:/localhost:/' -e 's/^\[::\]:/localhost:/'
}
cat <<TEXT

  Gateway    http://$(address 8080) and https://$(address 8443) (a self-signed certificate, unless
             you gave one: see docs/deployment.md)
  API        /users, /urls and /events there (see docs/api.md)

The first admin key; it is printed only then:

  $compose exec management python -m management.keys create --admin --name first
TEXT
