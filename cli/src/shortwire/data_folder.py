"""The folder that holds everything that outlives a run; one run at a time may have it."""

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from shortwire import processes
from shortwire.processes import POLL_SECONDS, StartError
from shortwire.stack_file import write_private

# A new PostgreSQL cluster with its first write-ahead log, the bus's file, journals and logs.
MIN_FREE_BYTES = 256 << 20
LEFTOVER_SECONDS = 15.0  # longer than any part takes to stop by itself


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """The passwords of this installation."""

    postgres: str
    redirector: str
    management: str
    ingest: str
    cache: str
    bus: str


class DataFolder:
    """An opened data folder; `lock` is the descriptor that children keep open."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.lock = lock
        self.logs = path / "logs"

    def secrets(self) -> Secrets:
        """Return the passwords, made at the first call ever."""
        file = self.path / "secrets.json"
        if file.exists():
            return msgspec.json.decode(file.read_bytes(), type=Secrets)
        made = Secrets(**{name: secrets.token_hex(16) for name in Secrets.__struct_fields__})
        write_private(file, msgspec.json.encode(made))
        return made

    def part(self, name: str) -> Path:
        """Return the folder of a part, which the part's process may write."""
        folder = self.path / name
        processes.give_to_children(folder)
        return folder


@contextmanager
def opened(path: Path, pause: Callable[[float], None]) -> Iterator[DataFolder]:
    """Open `path` for one run; raises `StartError` where that can't be.

    Two locks: the launcher's own says that it runs; the other one is inherited by every child,
    so that it is free only when the last process of an earlier run is gone, however that ended.
    """
    path = path.absolute()
    try:
        _prepare(path)
        launcher, children = _open(path / "launcher.lock"), _open(path / "children.lock")
    except OSError as error:
        raise StartError(sentence(path, error)) from None
    try:
        if not _lock(launcher):
            raise StartError(
                f"Shortwire already runs on {path}: stop it, or choose another DATA_DIR."
            )
        _wait_for_leftovers(children, path, pause)
        yield DataFolder(path, children)
    finally:
        os.close(children)
        os.close(launcher)


def sentence(path: Path, error: OSError) -> str:
    """Say what `error` means for who runs Shortwire on `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk that holds {path} is full: make room, or choose another DATA_DIR."
    return f"Shortwire can't use {path} ({error.strerror}): choose another DATA_DIR."


def _prepare(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if processes.is_root():
        path.chmod(0o711)  # children pass; what is theirs is below, closed to all others
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if shutil.disk_usage(path).free < MIN_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    (path / "logs").mkdir(mode=0o700, exist_ok=True)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_leftovers(descriptor: int, path: Path, pause: Callable[[float], None]) -> None:
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while not _lock(descriptor):
        if time.monotonic() > deadline:
            raise StartError(f"Parts of an earlier run on {path} do not end: see stack.json there.")
        pause(POLL_SECONDS)
