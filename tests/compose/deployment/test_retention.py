"""Old events go by themselves, where the operator asked for it."""

from tests.compose.deployment.installation import Installation, until

OLD = "2020-02-03"
OLDEST = "SELECT min(at)::date FROM events"


def test_old_events_are_removed_by_a_service_that_is_asked_for(installation: Installation):
    installation.make_links(1, "recent")  # an event of today
    installation.sql(
        f"SELECT ensure_events_partition('{OLD}');"
        f"INSERT INTO events (at, event_type) VALUES ('{OLD}', 'redirect')"
    )
    installation.settings["EVENTS_RETENTION_DAYS"] = "30"
    try:
        installation.compose("--profile", "retention", "up", "-d", "--no-build", "retention")
        until(lambda: installation.sql(OLDEST) > OLD, "the old event removed")
    finally:
        installation.settings.clear()
        installation.compose("--profile", "retention", "rm", "--stop", "--force", "retention")
