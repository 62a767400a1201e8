"""`shortwire status` beside a running system."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.end_to_end.launcher import Launcher, eventually, send

STORES = ["postgres", "cache", "bus"]
PARTS = ["gateway", "redirector-1", "redirector-2", "management", "webhooks", "ingest-1", *STORES]
STATUS = [sys.executable, "-m", "shortwire", "status", "--seconds", "0.3"]


def run(data: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*STATUS, *options],
        env={**os.environ, "DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def told(system: Launcher) -> Any:
    return json.loads(run(system.data, "--json").stdout)


@contextmanager
def stopped(pid: int | None) -> Iterator[None]:
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_programs_get_numbers(system: Launcher):
    user = {"username": "status", "email": "status@example.com"}
    user_id = send(system.url("/users"), "POST", user).json()["id"]
    link = {"user_id": user_id, "original_url": "https://example.com/", "short_code": "shown"}
    assert send(system.url("/urls"), "POST", link).status == 201
    watching = subprocess.Popen(
        [*STATUS[:-1], "3", "--json"],
        env={**os.environ, "DATA_DIR": str(system.data)},
        stdout=subprocess.PIPE,
        text=True,
    )
    while watching.poll() is None:
        assert send(system.url("/shown")).status == 302

    printed = watching.communicate()[0]

    now = json.loads(printed)
    assert {part["name"]: part["health"] for part in now["parts"]} == dict.fromkeys(PARTS, "ok")
    assert now["replicas"] == {"redirectors": 2, "ingest": 1}
    assert now["redirects"]["per_second"] > 0
    assert now["redirects"]["p95_ms"] >= now["redirects"]["p50_ms"] > 0
    assert 0 < now["redirects"]["near_hit_ratio"] <= 1
    assert now["clicks"]["recorded_per_second"] > 0
    assert now["clicks"]["journal_bytes"] > 0
    assert now["changes"]["relay_leaders"] == 1
    assert now["webhooks"]["read_per_second"] > 0
    assert now["clicks"]["dropped"] == 0
    assert watching.returncode == 0
    secrets = json.loads((system.data / "secrets.json").read_text()).values()
    assert not any(secret in printed for secret in secrets)


def test_a_pipe_gets_plain_text(system: Launcher):
    done = run(system.data)

    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    names = [line.split()[0] for line in done.stdout.splitlines() if line]
    assert names[:3] == ["gateway", "redirector-1", "redirector-2"]
    assert names[-6:] == ["redirects", "api", "clicks", "lag", "changes", "webhooks"]


def test_a_part_that_is_away_is_said(system: Launcher):
    with stopped(system.stack().redirectors[1].pid):
        done = run(system.data, "--json")

    parts = {part["name"]: part["health"] for part in json.loads(done.stdout)["parts"]}
    assert done.returncode == 1
    assert (parts["redirector-1"], parts["redirector-2"]) == ("ok", "away")
    eventually(lambda: run(system.data).returncode == 0)


def test_a_terminal_gets_a_live_view_until_ctrl_c(system: Launcher):
    ours, theirs = pty.openpty()
    live = subprocess.Popen(
        STATUS,
        env={**os.environ, "DATA_DIR": str(system.data), "TERM": "xterm", "COLUMNS": "200"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""

    def is_shown_twice() -> bool:
        nonlocal shown
        shown += os.read(ours, 65536)
        return shown.count(b"redirector-2") >= 2

    eventually(is_shown_twice)
    live.send_signal(signal.SIGINT)

    assert live.wait(30) == 0
    assert b"\x1b[" in shown
    assert b"Traceback" not in shown
    os.close(ours)


def test_where_nothing_runs_it_says_so(tmp_path: Path):
    done = run(tmp_path, "--json")

    assert done.returncode == 1
    assert f"nothing runs on {tmp_path}" in done.stderr
