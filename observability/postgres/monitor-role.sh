#!/bin/sh
# Makes the role that the exporter asks as, or gives it its password anew: it reads statistics only.
set -eu
PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD
exec psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 \
    --host postgres --username shortwire --dbname shortwire <<'END'
\set password `cat /run/secrets/monitor_db_password`
SELECT 'CREATE ROLE shortwire_monitor LOGIN'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shortwire_monitor')
\gexec
ALTER ROLE shortwire_monitor WITH LOGIN PASSWORD :'password' CONNECTION LIMIT 5;
GRANT pg_monitor TO shortwire_monitor;
END
