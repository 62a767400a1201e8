"""`stack.json`: where each running part answers and which process it is."""

import os
from pathlib import Path

import msgspec

FILE_NAME = "stack.json"


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A running part; `pid` is None for a server that was given by its URL.

    `metrics` is where one of our services answers Prometheus.
    """

    pid: int | None
    url: str
    metrics: str | None = None


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """Every part of the running system."""

    gateway: Part
    redirectors: list[Part]
    management: Part
    webhooks: Part
    ingest: list[Part]
    postgres: Part
    cache: Part
    bus: Part


decoder = msgspec.json.Decoder(Stack)


def read(data_dir: Path) -> Stack | None:
    """Return what runs on `data_dir`, or None where nothing was started or all was stopped."""
    try:
        return decoder.decode((data_dir / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return None


def write(data_dir: Path, stack: Stack) -> None:
    """Replace the file at once, so that no reader sees half of it; it holds passwords."""
    write_private(data_dir / FILE_NAME, msgspec.json.format(msgspec.json.encode(stack)))


def remove(data_dir: Path) -> None:
    """Say that nothing runs."""
    (data_dir / FILE_NAME).unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` atomically by a file that only its owner may read."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
