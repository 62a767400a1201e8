"""Child processes: started, awaited until ready, stopped; none outlives its parent."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

POLL_SECONDS = 0.02
LOG_TAIL_LINES = 5
PROC_STATUS = Path("/proc/self/status")


class StartError(Exception):
    """A child could not be started or did not become ready; the text is for the user."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What to start, how to see that it is ready, and how to ask it to stop."""

    name: str
    argv: Sequence[str]
    is_ready: Callable[[], bool]
    environ: Mapping[str, str] = {}
    stop_signal: signal.Signals = signal.SIGTERM
    ready_seconds: float = 30.0
    stop_seconds: float = 10.0


def is_root() -> bool:
    """Tell whether we run as root."""
    return os.geteuid() == 0


def unprivileged_user() -> pwd.struct_passwd:
    """Return whom children run as where we are root: who called sudo, else `nobody`."""
    uid = int(os.environ.get("SUDO_UID", "0"))
    return pwd.getpwuid(uid) if uid else pwd.getpwnam("nobody")


def give_to_children(path: Path) -> None:
    """Make `path` a folder, unless it is a file, that only the user of the children may use."""
    if not path.exists():
        path.mkdir(mode=0o700, parents=True)
    if is_root():
        user = unprivileged_user()
        os.chown(path, user.pw_uid, user.pw_gid)


# Numbers of capabilities: linux/capability.h. A plain root has the first, which only reads;
# Docker's default set has only the second.
PATH_CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}
SETPCAP = 8


def privilege_options(status: str) -> list[str]:
    """Return how setpriv drops all privileges but one: to pass closed folders.

    `status` is the text of /proc/self/status: one can only keep what one has.
    """
    line = next((line for line in status.splitlines() if line.startswith("CapPrm:")), "CapPrm: 0")
    permitted = int(line.split()[1], 16)
    names = [name for name, bit in PATH_CAPABILITIES.items() if permitted >> bit & 1]
    if not names or not permitted >> SETPCAP & 1:
        return ["--inh-caps=-all", "--ambient-caps=-all"]
    kept = f"-all,+{names[0]}"
    # access(2) disregards the capabilities of who isn't root, and PostgreSQL asks it about its
    # own programs, unless this bit is set. What is executed still gets the ambient one only.
    return ["--securebits=+no_setuid_fixup", f"--inh-caps={kept}", f"--ambient-caps={kept}"]


def wrap(argv: Sequence[str], stop_signal: signal.Signals) -> list[str]:
    """Return `argv` so that the child ends with its parent and never runs as root.

    PostgreSQL refuses root. The one capability that stays (passing closed folders) lets the
    child reach a checkout in a folder that only root may enter, such as /root.
    The kernel sends `stop_signal` when the thread that started the child ends: start children
    from the main thread.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if is_root():
            raise StartError(
                "As root, Shortwire needs `setpriv` (package util-linux) to start its parts as an "
                "unprivileged user: install it, or run as another user."
            )
        return list(argv)
    options = [f"--pdeathsig={stop_signal.name.removeprefix('SIG')}"]
    if is_root():
        user = unprivileged_user()
        options += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        options += privilege_options(PROC_STATUS.read_text())
    return [setpriv, *options, "--", *argv]


class Child:
    """A running `Program`; its output goes to a log file.

    Descriptors in `keep_open` stay open in the child and in whatever it starts.
    """

    def __init__(self, program: Program, log_path: Path, keep_open: Sequence[int] = ()) -> None:
        self.program = program
        self.log_path = log_path
        self.started_at = time.monotonic()
        with log_path.open("ab") as log:
            self._log_began_at = log.tell()
            self.process = subprocess.Popen(
                wrap(program.argv, program.stop_signal),
                env=environment(program.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is ours to pass on, in order
                pass_fds=keep_open,
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self.process.pid

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self.process.poll() is None

    def is_ready(self) -> bool:
        """Tell whether the program is ready; raise `StartError` if it ended or takes too long."""
        if self.program.is_ready():
            return True
        if not self.is_running():
            raise StartError(f"{self.program.name} ended at once: {self.last_words()}")
        if time.monotonic() - self.started_at > self.program.ready_seconds:
            raise StartError(
                f"{self.program.name} was not ready within "
                f"{self.program.ready_seconds:.0f} s: {self.last_words()}"
            )
        return False

    def last_words(self) -> str:
        """Return the end of what this process wrote, and where to find the whole log."""
        with self.log_path.open("rb") as log:
            if log.seek(0, os.SEEK_END) < self._log_began_at:
                self._log_began_at = 0  # it was trimmed meanwhile
            log.seek(self._log_began_at)
            written = log.read().decode(errors="replace")
        lines = written.strip().splitlines()[-LOG_TAIL_LINES:]
        return " | ".join(lines) + f" (log: {self.log_path})"

    def stop(self) -> None:
        """Ask the process to end, wait, and kill it if it does not."""
        if self.is_running():
            self.process.send_signal(self.program.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(self.program.stop_seconds)
        self.bury()

    def bury(self) -> None:
        """Kill what is left of the process and its group.

        The workers of an Nginx whose master was killed live on and hold its port.
        """
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return our environment and `extra`, without libpq's variables: they redirect connections."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**plain, **extra}


def wait_ready(children: Sequence[Child], pause: Callable[[float], None] = time.sleep) -> None:
    """Return once all are ready; raise `StartError` if one ends or takes too long."""
    waiting = list(children)
    while waiting := [child for child in waiting if not child.is_ready()]:
        pause(POLL_SECONDS)


def start(program: Program, log_folder: Path) -> Child:
    """Start `program` and return once it is ready; nothing is left running on failure."""
    child = Child(program, log_folder / f"{program.name}.log")
    try:
        wait_ready([child])
    except BaseException:
        child.stop()
        raise
    return child


def run_to_end(
    argv: Sequence[str], environ: Mapping[str, str], pause: Callable[[float], None] = time.sleep
) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it printed; what `pause` raises ends it."""
    with subprocess.Popen(
        wrap(argv, signal.SIGTERM),
        env=environment(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=POLL_SECONDS)
                pause(0)
        except BaseException:
            process.terminate()
            raise
        printed, complaint = process.communicate()
    return subprocess.CompletedProcess(argv, process.returncode, printed, complaint)


def python_module(module: str) -> list[str]:
    """Return the command that runs `module` in this environment."""
    return [sys.executable, "-m", module]
