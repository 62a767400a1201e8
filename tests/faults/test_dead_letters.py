"""A poisoned click, from the stream to the dead letters and back, on the whole system."""

import json
import subprocess
import sys

import redis

from shared import streams
from tests.end_to_end.launcher import Launcher, eventually
from tests.faults.test_propagation import racing

__all__ = ["racing"]  # a fixture: the whole system


def replay(system: Launcher, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "shortwire", "replay-dead", *arguments],
        env={"DATA_DIR": str(system.data)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stderr


def test_a_poisoned_entry_is_put_aside_and_can_be_sent_back(racing: Launcher):
    with redis.Redis.from_url(racing.stack().bus.url) as bus:
        bus.xadd(streams.CLICKS, {"v": 1, "n": 1, "batch": json.dumps([{"id": 7}])})
        eventually(lambda: bus.xlen(streams.CLICKS_DEAD) == 1)

        assert "1 dead letters found" in replay(racing, "--dry-run")
        assert bus.xlen(streams.CLICKS_DEAD) == 1
        assert "1 dead letters sent back" in replay(racing)

        # It is no better than before: it comes back as a letter of its own.
        eventually(lambda: bus.xlen(streams.CLICKS_DEAD) == 1)
        (_, letter), *_ = bus.xrange(streams.CLICKS_DEAD)
        assert letter[b"reason"] == b"undecodable"


def test_help_needs_nothing_running():
    done = subprocess.run(
        [sys.executable, "-m", "shortwire", "replay-dead", "--help"],
        env={},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert "--dry-run" in done.stdout
