import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from shortwire import supervisor
from shortwire.processes import Child, Program, StartError
from shortwire.supervisor import Supervisor


@pytest.fixture(autouse=True)
def _unwrapped(monkeypatch: pytest.MonkeyPatch):
    """A test's child needs no other user."""
    monkeypatch.setattr("shortwire.processes.wrap", lambda argv, _: list(argv))


def program(name: str, code: str) -> Program:
    return Program(name=name, argv=[sys.executable, "-c", code], is_ready=lambda: True)


def no_pause(_seconds: float) -> None:
    """Go on at once."""


def test_pauses_grow_to_a_bound():
    delays = [supervisor.restart_delay(deaths) for deaths in range(1, 10)]

    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_the_cause_of_a_death_is_in_words():
    assert supervisor.cause(-signal.SIGKILL) == "was ended by SIGKILL"
    assert supervisor.cause(3) == "ended with exit code 3"


def test_a_program_that_keeps_ending_is_said_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supervisor, "FIRST_DELAY_SECONDS", 0.0)
    said: list[str] = []
    runner = Supervisor(tmp_path, [], said.append)
    runner.start([program("sick", "print('no luck'); raise SystemExit(3)")], no_pause)

    while len(said) < 3:
        runner.revive()
    runner.stop()

    assert said[:2] == ["sick ended with exit code 3; starting it again."] * 2
    assert "sick keeps ending (ended with exit code 3); next try in 0.0 s: " in said[2]
    assert "no luck" in said[2]


def test_last_words_are_of_this_process_not_of_one_before(tmp_path: Path):
    (tmp_path / "new.log").write_text("what was wrong yesterday\n")
    never = Program(
        name="new", argv=[sys.executable, "-c", "print('today')"], is_ready=lambda: False
    )

    with pytest.raises(StartError) as ended:
        Supervisor(tmp_path, [], print).start([never], no_pause)

    assert "new ended at once: today (log:" in str(ended.value)


def test_last_words_are_found_in_a_log_that_was_trimmed_meanwhile(tmp_path: Path):
    (tmp_path / "new.log").write_text("what was wrong yesterday\n")
    child = Child(program("new", "pass"), tmp_path / "new.log")
    child.stop()

    (tmp_path / "new.log").write_text("today\n")

    assert child.last_words().startswith("today (log:")


ENDING = """
import signal, sys

def end(*_):
    with open(sys.argv[1], "a") as order:
        order.write(sys.argv[2])
    sys.exit()

signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
signal.pause()
"""


def test_the_last_started_is_stopped_first(tmp_path: Path):
    order = tmp_path / "order"
    runner = Supervisor(tmp_path, [], print)
    for name in "abc":
        log = tmp_path / f"{name}.log"
        argv = [sys.executable, "-c", ENDING, str(order), name]
        is_ready = partial(_holds, log, "ready")
        runner.start([Program(name=name, argv=argv, is_ready=is_ready)], time.sleep)

    runner.stop()

    assert order.read_text() == "cba"


def _holds(log: Path, word: str) -> bool:
    return word in log.read_text()


def test_who_does_not_become_ready_is_said(tmp_path: Path):
    slow = Program(
        name="slow",
        argv=[sys.executable, "-c", "import time; time.sleep(60)"],
        is_ready=lambda: False,
        ready_seconds=0.0,
    )
    runner = Supervisor(tmp_path, [], print)

    with pytest.raises(StartError, match="slow was not ready within 0 s"):
        runner.start([slow], no_pause)

    runner.stop()
