"""Child processes: started, awaited until ready, stopped; none outlives its parent."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

POLL_SECONDS = 0.02
LOG_TAIL_LINES = 5


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
    """Make `path` a folder that only the user of the children may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_root():
        user = unprivileged_user()
        os.chown(path, user.pw_uid, user.pw_gid)


def wrap(argv: Sequence[str], stop_signal: signal.Signals) -> list[str]:
    """Return `argv` so that the child ends with its parent and never runs as root.

    PostgreSQL refuses root. The one capability that stays (passing closed folders) lets the
    child reach a checkout in a folder that only root may enter, such as /root.
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
        options += ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    return [setpriv, *options, "--", *argv]


class Child:
    """A running `Program`; its output goes to a log file."""

    def __init__(self, program: Program, log_path: Path) -> None:
        self.program = program
        self.log_path = log_path
        with log_path.open("ab") as log:
            self.process = subprocess.Popen(
                wrap(program.argv, program.stop_signal),
                env={**os.environ, **program.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is ours to pass on, in order
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self.process.pid

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self.process.poll() is None

    def wait_ready(self) -> None:
        """Return once the program is ready; raise `StartError` if it ends or takes too long."""
        deadline = time.monotonic() + self.program.ready_seconds
        while not self.program.is_ready():
            if not self.is_running():
                raise StartError(f"{self.program.name} ended at once: {self.last_words()}")
            if time.monotonic() > deadline:
                raise StartError(
                    f"{self.program.name} was not ready within "
                    f"{self.program.ready_seconds:.0f} s: {self.last_words()}"
                )
            time.sleep(POLL_SECONDS)

    def last_words(self) -> str:
        """Return the end of the log, and where to find the whole."""
        lines = self.log_path.read_text(errors="replace").strip().splitlines()[-LOG_TAIL_LINES:]
        return " | ".join(lines) + f" (log: {self.log_path})"

    def stop(self) -> None:
        """Ask the process to end, wait, and kill it if it does not."""
        if not self.is_running():
            return
        self.process.send_signal(self.program.stop_signal)
        try:
            self.process.wait(self.program.stop_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(program: Program, log_folder: Path) -> Child:
    """Start `program` and return once it is ready; nothing is left running on failure."""
    child = Child(program, log_folder / f"{program.name}.log")
    try:
        child.wait_ready()
    except BaseException:
        child.stop()
        raise
    return child


def python_module(module: str) -> list[str]:
    """Return the command that runs `module` in this environment."""
    return [sys.executable, "-m", module]
