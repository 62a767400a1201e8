"""Lua scripts that Redis runs, called by their hash."""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError


class Script:
    """A Lua file, called by its hash and sent whole only where the server lacks it.

    redis-py's own would load it into some node of a cluster, not into the one that lacks it.
    """

    def __init__(self, package: str, name: str) -> None:
        self.source = resources.files(package).joinpath(f"lua/{name}.lua").read_text()
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(
        self, redis: Redis, keys: Sequence[str], arguments: Sequence[str | bytes]
    ) -> Any:  # noqa: ANN401 - what the script returns
        """Return what the script does; of a cluster, all `keys` must be in one slot."""
        try:
            return await redis.evalsha(self.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await redis.eval(self.source, len(keys), *keys, *arguments)
