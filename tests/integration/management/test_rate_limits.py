"""How much a key and an address may ask, and what answers tell of it."""

import asyncio
import re

import pytest
from redis.asyncio import Redis

from management import metrics
from management.rate_limits import Limit, RateLimits, client_of
from tests.integration.management.conftest import Answer, Api, Start
from tests.integration.management.test_keys import world_of

HOURLY = Limit("test", "tests", 1 / 3600, 3)  # slow enough that no test sees it fill


async def test_a_bucket_holds_its_capacity_and_tells_when_there_is_more(cache: Redis):
    limits = RateLimits(cache)

    buckets = [await limits.take(HOURLY, "a") for _ in range(4)]
    other = await limits.take(HOURLY, "b")

    taken = [bucket for bucket in buckets if bucket is not None]
    assert [(bucket.is_taken, bucket.left) for bucket in taken] == [
        (True, 2), (True, 1), (True, 0), (False, 0),
    ]  # fmt: skip
    assert 3500 < taken[-1].retry_seconds <= 3600
    assert 3 * 3600 - 100 < taken[-1].full_seconds <= 3 * 3600
    assert other is not None
    assert other.left == 2
    assert 0 < await cache.ttl("rate:test:{a}") <= 3 * 3600


async def test_a_bucket_fills_again(cache: Redis):
    limits = RateLimits(cache)
    quick = Limit("quick", "tests", 20, 1)

    async with asyncio.timeout(10):
        taken = 0
        while taken < 3:
            bucket = await limits.take(quick, "a")
            assert bucket is not None
            taken += bucket.is_taken
            await asyncio.sleep(bucket.retry_seconds)


async def test_asking_takes_nothing(cache: Redis):
    limits = RateLimits(cache)

    for _ in range(10):
        asked = await limits.take(HOURLY, "a", 0)

    assert asked is not None
    assert (asked.is_taken, asked.left) == (True, 3)
    assert await cache.keys("rate:*") == []


async def test_many_at_once_take_no_more_than_there_is(cache: Redis):
    limits = RateLimits(cache)

    buckets = await asyncio.gather(*(limits.take(HOURLY, "a") for _ in range(20)))

    assert sum(bucket is not None and bucket.is_taken for bucket in buckets) == 3


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_an_address_stands_for_a_client(address: str, client: str):
    assert client_of(address) == client


async def until_limited(client: Api, path: str = "/urls") -> tuple[list[Answer], Answer]:
    """Ask until refused; a bucket of at most four seconds' worth must run dry."""
    answers: list[Answer] = []
    for _ in range(1000):
        answer = await client.get(path)
        if answer.status == 429:
            return answers, answer
        answers.append(answer)
    raise AssertionError("never refused")


async def test_a_key_has_a_limit_of_its_own(start: Start, database: str):
    async with start(auth="required") as api, start(auth="required", key_rate=1) as strict:
        world = await world_of(api, database)
        one, another = [
            Api(strict.port, (await world.with_key(world.owner_id)).key) for _ in range(2)
        ]

        answers, refused = await until_limited(one)
        missing = await another.get("/urls/999")

    assert answers[0].headers["ratelimit-policy"] == '"key";q=2;w=2'
    assert answers[0].headers["ratelimit"] == '"key";r=1;t=1'
    assert answers[0].headers["ratelimit-limit"] == "2"
    assert answers[0].headers["ratelimit-remaining"] == "1"
    assert answers[0].headers["ratelimit-reset"] == "1"
    assert refused.headers["retry-after"] == "1"
    assert re.fullmatch(r'"key";r=0;t=[12]', refused.headers["ratelimit"])
    assert refused.error == "Too many requests of this key, please try again later"
    assert missing.status == 404
    assert missing.headers["ratelimit-limit"] == "2", "errors tell it, too"


async def test_an_address_has_a_limit_also_without_keys(start: Start):
    async with start(address_rate=1) as api:
        answers, refused = await until_limited(api)
        health = await api.get("/health")

    assert answers[0].headers["ratelimit-policy"] == '"address";q=2;w=2'
    assert refused.error == "Too many requests of this address, please try again later"
    assert health.status == 200
    assert "ratelimit" not in health.headers


async def test_wrong_keys_are_limited_more_and_do_not_shut_out_good_ones(
    start: Start, database: str
):
    async with start(auth="required") as api:
        world = await world_of(api, database)
        wrong = Api(api.port, "sw_000000000000_x")

        answers, refused = await until_limited(wrong)
        good = await world.owner.get("/urls")
        without = await api.get("/urls")

    assert 10 <= len(answers) <= 12
    assert {answer.status for answer in answers} == {401}
    assert refused.error == "Too many wrong keys from this address, please try again later"
    assert refused.headers["ratelimit-policy"] == '"failed keys";q=10;w=60'
    assert good.status == 200
    assert without.status == 401


async def test_while_redis_is_away_requests_go_on(start: Start):
    async with start(cache_url="redis://127.0.0.1:1/0", address_rate=1) as api:
        answers = [await api.get("/users") for _ in range(5)]

    assert [answer.status for answer in answers] == [200] * 5
    assert "ratelimit" not in answers[0].headers
    assert metrics.RATE_UNCHECKED._value.get() >= 5
