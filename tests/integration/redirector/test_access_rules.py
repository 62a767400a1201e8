"""What the rules of deploy/make-secrets.sh let a redirector do in Redis."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from redirector.passwords import Passwords
from shared import link_cache
from shared.events import LinkRecord
from shortwire import processes, servers

SCRIPT = Path(__file__).parents[3] / "deploy" / "make-secrets.sh"


@pytest.fixture
def guarded_cache(server_folder: Path, tmp_path: Path) -> Iterator[str]:
    """A cache with the rules in force; the address is a redirector's."""
    subprocess.run(["sh", str(SCRIPT), str(tmp_path)], check=True, capture_output=True)
    rules, port = server_folder / "cache.acl", servers.free_port()
    rules.write_text((tmp_path / "cache.acl").read_text())
    processes.give_to_children(rules)
    options = {**servers.CACHE_SETTINGS, "aclfile": str(rules)}
    password = (tmp_path / "redis_redirector_password").read_text()
    program = processes.Program(
        name="guarded-cache",
        argv=[
            *(servers.redis_binary(), "--port", str(port), "--bind", servers.LOOPBACK),
            *("--dir", str(server_folder), *servers.redis_options(options)),
        ],
        is_ready=lambda: _listens(port),
    )
    child = processes.start(program, server_folder)
    yield f"redis://redirector:{password}@{servers.LOOPBACK}:{port}"
    child.stop()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((servers.LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


async def test_a_redirector_may_do_what_it_does(guarded_cache: str):
    # Without a name: to the wheel's Redis 6.2, all of CLIENT is an administrator's.
    async with Redis.from_url(guarded_cache, socket_timeout=1) as cache:
        record = LinkRecord(version=1, state="active", cached_at=0.0, url_id=1, user_id=1)
        token = await link_cache.take_lease(cache, 1, "abc123")
        assert token is not None
        assert await link_cache.fill(cache, 1, "abc123", token, record)
        assert await link_cache.get(cache, 1, "abc123") == record
        assert await link_cache.random_link(cache) == (1, "abc123")
        await link_cache.remove(cache, 1, "abc123")

        await Passwords(cache)._count("tries:1:192.0.2.1")
        assert await Passwords(cache)._tries("tries:1:192.0.2.1") == 1

        with pytest.raises(ResponseError, match="cluster support disabled"):
            await cache.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        with pytest.raises(NoPermissionError):
            await cache.get("rate:key:{1}")
