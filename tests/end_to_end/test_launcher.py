"""Start, stop and trouble of the launcher; each test has a data folder of its own."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shortwire.servers import LOOPBACK
from tests.end_to_end.launcher import Answer, Launcher, eventually, send

SECOND_START_SECONDS = 5.0

Launch = Callable[..., Launcher]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts launchers on one data folder, and ends what is left of them."""
    launchers: list[Launcher] = []

    def start(**settings: str) -> Launcher:
        launcher = Launcher(tmp_path / "data", **settings)
        launchers.append(launcher)
        return launcher

    yield start
    for launcher in launchers:
        launcher.end(signal.SIGTERM)


def test_ctrl_c_leaves_nothing_and_the_next_start_is_fast_also_after_a_kill(launch: Launch):
    first = launch().wait_ready()
    user = {"username": "ada", "email": "ada@example.com"}
    assert send(first.url("/users"), "POST", user).status == 201
    assert not first.is_gone()

    assert first.end(signal.SIGINT) == 0

    assert first.is_gone()
    assert not (first.data / "stack.json").exists()
    assert first.printed().endswith("Stopping …\nStopped.\n")

    began = time.monotonic()
    second = launch(PORT=first.settings["PORT"]).wait_ready()
    assert time.monotonic() - began < SECOND_START_SECONDS
    assert send(second.url("/users")).json()[0]["username"] == "ada"
    second.process.kill()

    third = launch(PORT=first.settings["PORT"]).wait_ready()

    assert send(third.url("/users")).json()[0]["username"] == "ada"


def test_ctrl_c_while_it_starts_leaves_nothing(launch: Launch):
    launcher = launch()
    eventually(lambda: "Starting PostgreSQL" in launcher.printed())
    time.sleep(0.5)
    assert not launcher.is_gone()

    assert launcher.end(signal.SIGINT) == 0

    assert launcher.is_gone()
    assert launcher.printed().endswith("Stopping …\nStopped.\n")


def test_what_is_printed_can_be_pasted(launch: Launch):
    launcher = launch(AUTH="required").wait_ready()
    lines = re.findall(r"^  curl .*", launcher.printed(), re.MULTILINE)

    user, link, follow = [_paste(line) for line in lines]

    assert (user.status, link.status, follow.status) == (201, 201, 302)
    assert follow.headers["Location"] == "https://example.com/hello"
    assert send(launcher.url("/users")).status == 401


def _paste(line: str) -> Answer:
    """Do what curl would: a newcomer's machine has it, a test machine need not."""
    words = iter(shlex.split(line)[1:])
    headers, body, url = {}, None, ""
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        elif not word.startswith("-"):
            url = word
    return send(url, "GET" if body is None else "POST", _json(body), headers)


def _json(text: str | None) -> object:
    return None if text is None else json.loads(text)


def refused(launcher: Launcher) -> str:
    """Assert that it gave up with one sentence, and return it."""
    assert launcher.process.wait(30) == 1, launcher.printed()
    (sentence,) = [
        line for line in launcher.printed().splitlines() if line.startswith("shortwire: ")
    ]
    assert "Traceback" not in launcher.printed()
    return sentence


def test_a_port_in_use_is_said(launch: Launch):
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]

        sentence = refused(launch(PORT=str(port)))

    assert f"Port {port} of 127.0.0.1 is in use" in sentence


def test_a_second_run_on_the_same_data_is_refused(system: Launcher, tmp_path: Path):
    second = Launcher(tmp_path / "second", DATA_DIR=str(system.data))

    assert f"Shortwire already runs on {system.data}" in refused(second)
    assert send(system.url("/health")).status == 200


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / "file").touch()

    launcher = Launcher(tmp_path / "out", DATA_DIR=str(tmp_path / "file" / "data"))

    assert f"Shortwire can't use {tmp_path / 'file' / 'data'}" in refused(launcher)


def test_an_address_of_another_machine_is_said(launch: Launch):
    assert "can't listen on 192.0.2.1" in refused(launch(BIND="192.0.2.1"))


def test_a_part_that_cannot_start_is_said_and_nothing_stays(launch: Launch):
    launcher = launch(CACHE_URL="redis://127.0.0.1:1/0", BUS_URL="no address")

    sentence = refused(launcher)

    assert "ended at once: Wrong setting" in sentence
    assert "$.BUS_URL" in sentence
    assert launcher.is_gone()


def test_a_wrong_setting_is_named(tmp_path: Path):
    launcher = Launcher(tmp_path / "data", PORT="http")

    assert launcher.process.wait(30) == 1
    assert launcher.printed() == "Wrong setting: Expected `int`, got `str` - at `$.PORT`\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["forget", "--address", "here"], "argument --address: here must be an IP address"),
        (["forget", "--before", "May"], "argument --before: May must be a day like 2026-04-03"),
        (["replay-dead", "--bus", "redis://127.0.0.1:1"], "The bus did not do it: Error 111"),
        (["migrate", "--database", "nowhere"], "PostgreSQL can't be reached: invalid DSN"),
    ],
)
def test_what_a_command_cannot_do_is_said_in_a_sentence(arguments: list[str], sentence: str):
    environ = {"POSTGRES_DSN": "postgres://127.0.0.1:1/none"}
    command = [sys.executable, "-m", "shortwire", *arguments]

    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_none_is_said(launch: Launch):
    launcher = launch(POSTGRES_URL="nowhere")

    sentence = refused(launcher)

    assert "waiting for PostgreSQL up to 120 s" in launcher.printed()
    assert "shared.migrate failed: PostgreSQL can't be reached: invalid DSN" in sentence


@pytest.mark.parametrize("option", ["-h", "--help", "--version"])
def test_the_command_tells_of_itself(option: str):
    done = subprocess.run(
        [sys.executable, "-m", "shortwire", option], capture_output=True, text=True, check=True
    )

    assert "Shortwire" in done.stdout


def test_the_command_says_what_it_can_do():
    done = subprocess.run(
        [sys.executable, "-m", "shortwire", "--help"], capture_output=True, text=True, check=True
    )

    assert all(command in done.stdout for command in ("run", "migrate", "import", "keys"))
