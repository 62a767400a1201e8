"""One file of a journal, written through memory that was made ready beforehand.

A `write` to a file waits while the file system commits what it knows of the file, some 5 to 25 ms
after each sync of any file of that disk (measured on ext4). A store to a mapped page that is
already in memory and marked as changed waits for nothing, and is the kernel's as soon as it is
made: a killed process loses it no more than what it wrote.
"""

import ctypes
import mmap
import os
from pathlib import Path

MADV_POPULATE_WRITE = 23  # since Linux 5.14; without it all goes by `pwrite`
UNWRITTEN = b"\0"  # what the part of a file that was only made room for reads as


def _c_library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return library


_LIBRARY = _c_library()  # `mmap.madvise` would hold all threads up while it waits for the disk


class Segment:
    """The writing end of one file; `size` is how many bytes were written."""

    def __init__(self, path: Path, room: int) -> None:
        """Make the file, with `room` for so many bytes; raises `OSError` where it can't be."""
        self.path = path
        self.size = 0
        self._ready = 0  # up to here a store waits for nothing
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._map = _map(self._descriptor, room)
        self._room = room if self._map is not None else 0  # what can be made ready

    def write(self, content: bytes) -> None:
        """Append `content`, all or nothing; raises `OSError` where the disk refuses it."""
        end = self.size + len(content)
        if self._map is not None and end <= self._ready:
            self._map[self.size : end] = content
        else:
            written = os.pwrite(self._descriptor, content, self.size)
            if written < len(content):  # leave no half a line: what is not written reads as zeros
                os.pwrite(self._descriptor, bytes(written), self.size)
                raise OSError(f"{written} of {len(content)} bytes written")
        self.size = end

    def lacks_room(self, ahead: int) -> bool:
        """Tell whether less than `ahead` bytes are ready, and more can be."""
        return self._ready < min(self.size + ahead, self._room)

    def make_ready(self, ahead: int) -> None:
        """Make the next `ahead` bytes ready; waits for the disk, so call it in a thread.

        Also those that were, and that have been written to the disk since: they are so no more.
        """
        first = self.size // mmap.PAGESIZE * mmap.PAGESIZE
        end = min(self.size + ahead, self._room)
        if self._map is None or end <= first:
            return
        try:
            address = ctypes.addressof(ctypes.c_char.from_buffer(self._map)) + first
        except ValueError:  # filled and closed before this thread began
            return
        if _LIBRARY.madvise(address, end - first, MADV_POPULATE_WRITE) == 0:
            self._ready = max(end, self._ready)
        else:
            self._room = self._ready  # the kernel is older, or the disk refuses

    def sync(self) -> None:
        """Make what was written survive a power cut; waits, so call it in a thread."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Give back the room that was not used, all of it with the file; waits for the disk."""
        if self._map is not None:
            self._map.close()
        try:
            os.ftruncate(self._descriptor, self.size)
        finally:
            os.close(self._descriptor)
        if not self.size:
            self.path.unlink(missing_ok=True)


def _map(descriptor: int, room: int) -> mmap.mmap | None:
    """Map a file with room on the disk; None where it has none: then a store could fail."""
    try:
        os.posix_fallocate(descriptor, 0, room)
        return mmap.mmap(descriptor, room)
    except OSError:
        return None


def trim(path: Path) -> int:
    """Give back the room that a process which is gone did not use; return the bytes it did."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read(1) not in {b"", UNWRITTEN}:  # as most are: closed by their process
            return size
    content = path.read_bytes()
    size = len(content.rstrip(UNWRITTEN))
    if not size:
        path.unlink()
    elif size < len(content):
        os.truncate(path, size)
    return size
