"""Ports of the inner parts: chosen once, kept for the next start."""

import errno
import random
import socket
from pathlib import Path

import msgspec

from shortwire.processes import StartError
from shortwire.servers import LOOPBACK
from shortwire.stack_file import write_private

# Below the range that systems take for outgoing connections: a client that keeps trying a port
# of that range while its server restarts can get the very port as its own and block it.
FIRST, LAST = 20_000, 31_999
ATTEMPTS = 200

_decoder = msgspec.json.Decoder(dict[str, int])


def is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there; raises `OSError` for an address not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: connections of an earlier run that linger in TIME_WAIT don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


class Ports:
    """The port of each part by its name, remembered in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = _decoder.decode(path.read_bytes()) if path.exists() else {}
        self._taken: dict[str, int] = {}

    def take(self, name: str) -> int:
        """Return the port of `name`: the same as last time where it is free."""
        kept = self._kept.get(name)
        port = kept if kept and self._is_open(kept) else self._search()
        self._taken[name] = port
        return port

    def save(self) -> None:
        """Remember what was taken, and what other settings may want again."""
        write_private(self._path, msgspec.json.encode(self._kept | self._taken))

    def _is_open(self, port: int) -> bool:
        return port not in self._taken.values() and is_free(LOOPBACK, port)

    def _search(self) -> int:
        reserved = self._kept.values()
        for _ in range(ATTEMPTS):
            port = random.randint(FIRST, LAST)  # noqa: S311 - spreads, protects nothing
            if port not in reserved and self._is_open(port):
                return port
        raise StartError(f"No free port of {LOOPBACK} found between {FIRST} and {LAST}.")
