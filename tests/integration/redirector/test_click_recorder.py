"""When clicks go to the bus, and when the disk is made to keep them: while the bus lacks them."""

import asyncio
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from redirector import click_recorder
from redirector.click_frames import ClickFrames
from redirector.click_recorder import ClickRecorder
from redirector.segment import Segment
from shared import streams
from tests import tracing
from tests.waiting import eventually


async def test_clicks_that_come_while_others_are_sent_gather_for_one_frame(
    bus: Redis, tmp_path: Path
):
    frames = ClickFrames(bus, [streams.CLICKS], tracing.off())
    recorder = ClickRecorder(tmp_path, frames, max_bytes=1 << 20, segment_bytes=1 << 16)
    async with recorder.running():
        began = time.monotonic()
        for _ in range(300):
            recorder.record([b"1"])
            await asyncio.sleep(0.001)
        sent = await bus.xlen(streams.CLICKS)
        seconds = time.monotonic() - began
        await recorder.drain(1)
    recorder.close()

    assert 1 <= sent <= seconds / click_recorder.GATHER_SECONDS + 1


async def test_the_journal_is_synced_while_the_bus_lacks_clicks_and_only_then(
    bus: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced: list[int] = []
    sync = Segment.sync

    def note(segment: Segment) -> None:
        sync(segment)
        synced.append(segment.size)

    monkeypatch.setattr(Segment, "sync", note)
    monkeypatch.setattr(click_recorder, "SETTLE_SECONDS", 0.05)
    frames = ClickFrames(bus, [streams.CLICKS], tracing.off())
    recorder = ClickRecorder(tmp_path, frames, max_bytes=1 << 20, segment_bytes=1 << 16)
    async with recorder.running():
        for _ in range(20):
            recorder.record([b"1"])
            await asyncio.sleep(0.01)
        await eventually(lambda: _has_entries(bus, 1))
        await asyncio.sleep(0.2)
        with_bus = len(synced)

        await bus.client_pause(2_000, all=False)  # what writes waits
        recorder.record([b"2"])
        await eventually(lambda: _is_longer(synced, with_bus))
        await bus.client_unpause()
        await recorder.drain(1)
    recorder.close()

    assert with_bus == 0


async def _has_entries(bus: Redis, least: int) -> bool:
    return await bus.xlen(streams.CLICKS) >= least


async def _is_longer(numbers: list[int], than: int) -> bool:
    return len(numbers) > than
