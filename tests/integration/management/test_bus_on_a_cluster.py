"""What management and webhooks promise, with a Redis Cluster as the bus."""

import pytest

from tests.integration.management.test_live import (
    test_clicks_of_the_link_come_as_they_happen_and_tell_no_address,
    test_the_end_of_the_service_ends_streams_at_once,
    test_who_comes_back_gets_what_was_missed_of_each_stream_once,
    test_who_comes_back_gets_what_was_missed_once,
)
from tests.integration.management.test_relay import (
    dsn,
    test_the_heartbeat_comes_from_one_relay_of_many,
    test_what_a_dead_writer_left_is_applied_announced_and_gone,
)
from tests.integration.management.test_webhooks import (
    api,
    run,
    test_clicks_of_every_stream_are_told,
    test_every_change_of_a_link_is_told_once_and_signed,
    test_without_a_webhook_for_clicks_there_is_no_group_to_keep_them,
)
from tests.redis_cluster import LocalCluster

__all__ = [
    "api",
    "dsn",
    "run",
    "test_clicks_of_every_stream_are_told",
    "test_clicks_of_the_link_come_as_they_happen_and_tell_no_address",
    "test_every_change_of_a_link_is_told_once_and_signed",
    "test_the_end_of_the_service_ends_streams_at_once",
    "test_the_heartbeat_comes_from_one_relay_of_many",
    "test_what_a_dead_writer_left_is_applied_announced_and_gone",
    "test_who_comes_back_gets_what_was_missed_of_each_stream_once",
    "test_who_comes_back_gets_what_was_missed_once",
    "test_without_a_webhook_for_clicks_there_is_no_group_to_keep_them",
]


@pytest.fixture
async def bus_url(bus_cluster: LocalCluster) -> str:
    """The bus of every test here, empty."""
    return bus_cluster.url
