"""Ask the engine gate (autoscaler/engine_gate.py)."""

import asyncio
import http.client
from urllib.parse import urlsplit

import msgspec

from autoscaler.replicas import Replica, Replicas, ReplicasUnavailable

LOOK_SECONDS = 20.0  # the engine takes a second for a container's CPU time, more when it is busy
CHANGE_SECONDS = 90.0  # draining several, 20 s each

_replicas = msgspec.json.Decoder(dict[str, list[Replica]])


class EngineClient:
    """Every call runs in a thread of its own, and has a time limit."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)

    async def replicas(self) -> Replicas:
        """Return what there is of each service; raises `ReplicasUnavailable`."""
        body = await asyncio.to_thread(self._ask, "GET", "/replicas", LOOK_SECONDS)
        try:
            return _replicas.decode(body)
        except msgspec.DecodeError as error:
            raise ReplicasUnavailable(f"the engine gate: {error}") from error

    async def set_count(self, service: str, count: int) -> None:
        """Start or drain replicas until `count` run; raises `ReplicasUnavailable`."""
        path = f"/replicas/{service}/{count}"
        await asyncio.to_thread(self._ask, "PUT", path, CHANGE_SECONDS)

    def _ask(self, method: str, path: str, timeout: float) -> bytes:
        connection = http.client.HTTPConnection(*self._address, timeout=timeout)
        try:
            connection.request(method, path)
            reply = connection.getresponse()
            body = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise ReplicasUnavailable(f"the engine gate: {error!r}") from error
        finally:
            connection.close()
        if reply.status >= 300:
            said = body.decode(errors="replace") or reply.reason
            raise ReplicasUnavailable(f"the engine gate: {reply.status} {said}")
        return body
