"""From a journal to a real bus that was started again."""

import asyncio
from pathlib import Path
from typing import cast

import pytest
from redis.asyncio import Redis

from redirector.click_frames import ClickFrames
from redirector.click_sender import ClickSender
from redirector.journal import Journal
from redirector.recent_lines import RecentLines
from shared import streams
from tests import tracing


async def batches(bus: Redis) -> list[bytes]:
    entries = cast("streams.Entries", await bus.xrange(streams.CLICKS))
    return [fields[streams.CLICKS_BATCH] for _, fields in entries]


async def test_a_frame_under_way_while_a_restart_is_noticed_does_not_stop_the_sending_again(
    bus: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recent = RecentLines()
    sender = ClickSender(tmp_path, ClickFrames(bus, [streams.CLICKS], tracing.off()), recent)
    journal = Journal(tmp_path, recent, max_bytes=1 << 20, segment_bytes=1000, sent=sender.sent)
    journal.append([b"1"])
    await sender.send_some()
    await sender.settle()
    # A power cut took the last second of the log: the entry is gone, the run id another.
    await bus.delete(streams.CLICKS)
    info = await bus.info("server")

    async def restarted(*_: object) -> object:
        return {**info, "run_id": "another"}

    monkeypatch.setattr(Redis, "info", restarted)
    journal.append([b"2"])
    await bus.client_pause(5_000, all=False)  # the frame waits
    under_way = asyncio.ensure_future(sender.send_some())
    await asyncio.sleep(0)
    await sender.settle()
    await bus.client_unpause()
    await under_way

    while await sender.send_some():
        pass

    assert await batches(bus) == [b"[2]", b"[1,2]"]
    journal.close()
    sender.close()
