"""Keep children running: what ends is started again, on its own port, with growing pauses."""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from shortwire import processes
from shortwire.processes import Child, Program

FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 5.0
STABLE_SECONDS = 10.0  # who ran this long begins again with the shortest pause
REPEATED = 3  # deaths in a row after which we say why


def restart_delay(deaths: int) -> float:
    """Return the pause in seconds before the start after `deaths` deaths in a row."""
    return float(min(FIRST_DELAY_SECONDS * 2 ** (deaths - 1), MAX_DELAY_SECONDS))


def cause(return_code: int) -> str:
    """Say how a process ended."""
    if return_code < 0:
        return f"was ended by {signal.Signals(-return_code).name}"
    return f"ended with exit code {return_code}"


class Ward:
    """One program that is to run, and the process it is now."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.deaths = 0
        self.restart_at: float | None = None  # on the monotonic clock; None: it runs


class Supervisor:
    """Starts programs, brings back what ended, and stops all, the last started first."""

    def __init__(self, logs: Path, keep_open: Sequence[int], say: Callable[[str], None]) -> None:
        self._logs = logs
        self._keep_open = keep_open
        self._say = say
        self._wards: dict[str, Ward] = {}

    def start(self, programs: Sequence[Program], pause: Callable[[float], None]) -> None:
        """Start `programs` side by side and return once all are ready."""
        for program in programs:
            self._wards[program.name] = Ward(self._spawn(program))
        processes.wait_ready([self._wards[program.name].child for program in programs], pause)

    def pid(self, name: str) -> int | None:
        """Return the process id of the program `name`, None where we don't run it."""
        ward = self._wards.get(name)
        return None if ward is None else ward.child.pid

    def revive(self) -> bool:
        """Bring back what ended and is due; return whether a process id changed."""
        now = time.monotonic()
        for ward in self._wards.values():
            if ward.restart_at is None and not ward.child.is_running():
                self._note_death(ward, now)
        due = [w for w in self._wards.values() if w.restart_at is not None and w.restart_at <= now]
        for ward in due:
            ward.child = self._spawn(ward.child.program)
            ward.restart_at = None
        return bool(due)

    def seconds_to_restart(self, otherwise: float) -> float:
        """Return how long nothing needs to be done unless a child ends."""
        waiting = [w.restart_at for w in self._wards.values() if w.restart_at is not None]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else otherwise

    def stop(self) -> None:
        """Stop all, the last started first, each given its time to end."""
        for ward in reversed(self._wards.values()):
            ward.child.stop()
        self._wards.clear()

    def _spawn(self, program: Program) -> Child:
        return Child(program, self._logs / f"{program.name}.log", self._keep_open)

    def _note_death(self, ward: Ward, now: float) -> None:
        ward.child.bury()
        lived = now - ward.child.started_at
        ward.deaths = 1 if lived >= STABLE_SECONDS else ward.deaths + 1
        delay = restart_delay(ward.deaths)
        ward.restart_at = now + delay
        name, how = ward.child.program.name, cause(ward.child.process.returncode)
        if ward.deaths < REPEATED:
            self._say(f"{name} {how}; starting it again.")
        else:
            words = ward.child.last_words()
            self._say(f"{name} keeps ending ({how}); next try in {delay:.1f} s: {words}")
