"""Journal slots: folders of which each is held by one living process.

A slot's lock is the kernel's (`flock`), so it is free the moment its process is gone, however
it went; whoever takes the slot next sends what it left behind.
"""

import fcntl
import os
from pathlib import Path

MAX_SLOTS = 1024
LOCK_NAME = "lock"


class Slot:
    """A locked folder."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor

    def release(self) -> None:
        """Let another process take the folder."""
        os.close(self._descriptor)


def claim(folder: Path) -> Slot | None:
    """Return the slot `folder`, or None where a living process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return Slot(folder, descriptor)


def claim_first(parent: Path) -> Slot:
    """Return the first free slot under `parent`; raises `OSError` where the disk refuses."""
    for number in range(MAX_SLOTS):
        slot = claim(parent / f"slot-{number}")
        if slot is not None:
            return slot
    raise OSError(f"All {MAX_SLOTS} journal slots under {parent} are taken")


def claim_orphans(parent: Path) -> list[Slot]:
    """Return the slots that hold clicks of a process that is gone."""
    folders = {path.parent for path in parent.glob("slot-*/*.journal")}
    return [slot for folder in sorted(folders) if (slot := claim(folder)) is not None]
