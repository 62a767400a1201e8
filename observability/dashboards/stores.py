"""PostgreSQL, the two Redis, the disks and the certificate."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.dashboards.panels import RATE, lines, page, per_second, quantiles

DATABASE = '{datname="shortwire"}'


def stores() -> Dashboard:
    """Return the dashboard."""
    return page(
        "Shortwire: Stores",
        "shortwire-stores",
        "What everything rests on.",
        lines(
            "Redis: memory",
            "bytes",
            ("redis_memory_used_bytes", "{{job}}"),
            ("redis_memory_max_bytes", "{{job}} limit"),
            about="The cache is meant to be full, the bus is not.",
        ),
        lines("Redis: commands", "reqps", per_second("redis_commands_processed_total", "job")),
        lines("Redis: connections", "short", ("redis_connected_clients", "{{job}}")),
        lines(
            "Redis: found in the cache",
            "percentunit",
            (
                f'rate(redis_keyspace_hits_total{{job="cache"}}[{RATE}])'
                f' / (rate(redis_keyspace_hits_total{{job="cache"}}[{RATE}])'
                f' + rate(redis_keyspace_misses_total{{job="cache"}}[{RATE}]))',
                "share",
            ),
        ),
        lines(
            "Redis: keys gone",
            "reqps",
            per_second("redis_evicted_keys_total", called="evicted"),
            per_second("redis_expired_keys_total", called="expired"),
        ),
        lines(
            "PostgreSQL: connections",
            "short",
            (f"sum by (state) (pg_stat_activity_count{DATABASE})", "{{state}}"),
        ),
        lines(
            "PostgreSQL: longest transaction",
            "s",
            (f"max(pg_stat_activity_max_tx_duration{DATABASE})", "age"),
        ),
        lines(
            "PostgreSQL: transactions",
            "reqps",
            per_second(f"pg_stat_database_xact_commit{DATABASE}", called="committed"),
            per_second(f"pg_stat_database_xact_rollback{DATABASE}", called="rolled back"),
        ),
        lines(
            "PostgreSQL: blocks found in memory",
            "percentunit",
            (
                f"sum(rate(pg_stat_database_blks_hit{DATABASE}[{RATE}]))"
                f" / (sum(rate(pg_stat_database_blks_hit{DATABASE}[{RATE}]))"
                f" + sum(rate(pg_stat_database_blks_read{DATABASE}[{RATE}])))",
                "share",
            ),
        ),
        lines("PostgreSQL: size", "bytes", (f"pg_database_size_bytes{DATABASE}", "all")),
        lines(
            "PostgreSQL: rows written",
            "reqps",
            per_second(f"pg_stat_database_tup_inserted{DATABASE}", called="inserted"),
            per_second(f"pg_stat_database_tup_updated{DATABASE}", called="updated"),
            per_second(f"pg_stat_database_tup_deleted{DATABASE}", called="deleted"),
        ),
        lines(
            "Pools: connections in use",
            "percentunit",
            (
                'sum by (job, pool) (shortwire_pool_connections{state="busy"})'
                " / sum by (job, pool) (shortwire_pool_max_connections)",
                "{{job}} {{pool}}",
            ),
        ),
        lines(
            "Pools: wait for a connection",
            "s",
            *quantiles("shortwire_pool_wait_seconds", 0.99, by="job"),
        ),
        lines(
            "Pools: waits given up",
            "reqps",
            per_second("shortwire_pool_waits_given_up_total", "job"),
        ),
        lines("Disks: free", "percentunit", ("filesystem:free:ratio", "{{device}}")),
        lines(
            "Certificate",
            "d",
            ("(probe_ssl_earliest_cert_expiry - time()) / 86400", "left"),
        ),
    )
