"""How long a change takes to reach every redirector, and that nothing old is served after it."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.end_to_end.launcher import Launcher, eventually, send

SECONDS = float(os.environ.get("SOAK_SECONDS", "6"))
REDIRECTORS = 3
CODES = [f"race{number}" for number in range(4)]
ALIASES = {"race0": "race0-too", "race1": "race1-too"}  # further codes of these
BOUND_SECONDS = 1.0  # with everything up
KILLS = 3
KILL_BOUND_SECONDS = 2.0  # from the acknowledgement, management dead before it could announce
WARM_UP_SECONDS = 2.0  # until every worker trusts its memory


@pytest.fixture(scope="module")
def racing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    data = tmp_path_factory.mktemp("race") / "data"
    launcher = Launcher(
        data, REDIRECTORS=str(REDIRECTORS), API_RATE="10000", REDIRECT_RATE="100000"
    )
    try:
        yield launcher.wait_ready()
    finally:
        launcher.end(signal.SIGTERM)


class Update(msgspec.Struct, frozen=True):
    number: int
    acknowledged: float


class Read(msgspec.Struct, frozen=True):
    began: float
    ended: float
    number: int


class Line:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> "Line":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def ask(
        self, method: str, path: str, body: object = None, request_id: str = ""
    ) -> tuple[int, str]:
        """Return the status and the Location."""
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n"
        mark = f"X-Request-ID: {request_id}\r\n" if request_id else ""
        self._writer.write(f"{head}{mark}\r\n".encode() + content)
        status = int((await self._reader.readline()).split()[1])
        location, length = "", 0
        while (field := await self._reader.readline()) != b"\r\n":
            name, _, value = field.decode().partition(":")
            if name.lower() == "location":
                location = value.strip()
            elif name.lower() == "content-length":
                length = int(value)
        await self._reader.readexactly(length)
        return status, location

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()


async def update(port: int, url_id: int, until: float, done: list[Update]) -> None:
    async with Line(port) as line:
        while time.monotonic() < until:
            number = len(done) + 1
            target = f"https://example.com/{number}"
            status, _ = await line.ask("PUT", f"/urls/{url_id}", {"original_url": target})
            assert status == 200
            done.append(Update(number, time.monotonic()))


async def read(port: int, code: str, until: float, seen: list[Read]) -> None:
    async with Line(port) as line:
        while time.monotonic() < until:
            began = time.monotonic()
            status, location = await line.ask("GET", f"/{code}")
            assert status == 302
            seen.append(Read(began, time.monotonic(), int(location.rpartition("/")[2])))


def staleness(updates: list[Update], seen: list[Read]) -> float:
    """Return the longest time after an acknowledgement that a read began and saw older."""
    worst = 0.0
    for one in seen:
        if one.number < len(updates):
            first_missed = updates[one.number]  # number n is at index n - 1: this is n + 1
            worst = max(worst, one.began - first_missed.acknowledged)
    return worst


def arrivals(updates: list[Update], seen: list[Read]) -> list[float]:
    """Return, for each update, when a redirector first answered with it or a later one."""
    delays = []
    reads = iter(seen)
    one = next(reads, None)
    for change in updates:
        while one is not None and one.number < change.number:
            one = next(reads, None)
        if one is None:
            break
        delays.append(max(0.0, one.ended - change.acknowledged))
    return delays


async def test_no_read_after_an_acknowledged_update_sees_the_old_target(
    racing: Launcher, capsys: pytest.CaptureFixture[str]
):
    user = send(racing.url("/users"), "POST", {"username": "r", "email": "r@example.com"}).json()
    links = [
        send(
            racing.url("/urls"),
            "POST",
            {"user_id": user["id"], "original_url": "https://example.com/0", "short_code": code},
        ).json()
        for code in CODES
    ]
    for link in links:
        if alias := ALIASES.get(link["short_code"]):
            path = racing.url(f"/urls/{link['id']}/aliases")
            assert send(path, "POST", {"short_code": alias}).status == 201
    gateway = int(racing.settings["PORT"])
    ports = [urlsplit(part.url).port or 0 for part in racing.stack().redirectors]
    updates: dict[str, list[Update]] = {code: [] for code in CODES}
    updates |= {alias: updates[code] for code, alias in ALIASES.items()}
    seen: dict[tuple[int, str], list[Read]] = {(p, c): [] for p in ports for c in updates}
    warm = time.monotonic() + WARM_UP_SECONDS
    async with asyncio.TaskGroup() as group:
        for port, code in seen:
            group.create_task(read(port, code, warm, []))
    until = time.monotonic() + SECONDS

    async with asyncio.TaskGroup() as group:
        for link in links:
            code = link["short_code"]
            group.create_task(update(gateway, link["id"], until - 1.0, updates[code]))
        for (port, code), reads in seen.items():
            group.create_task(read(port, code, until, reads))

    worst = max(staleness(updates[code], reads) for (_, code), reads in seen.items())
    delays = sorted(
        delay for (_, code), reads in seen.items() for delay in arrivals(updates[code], reads)
    )
    made = sum(len(updates[code]) for code in CODES)
    with capsys.disabled():
        p50, p99 = (1000 * delays[int(len(delays) * share)] for share in (0.5, 0.99))
        print(
            f"\npropagation of {made} updates to {len(ports)} redirectors: "
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {1000 * delays[-1]:.1f} ms; "
            f"{sum(map(len, seen.values()))} reads, oldest answer {1000 * worst:.1f} ms stale"
        )
    assert made > 100
    assert worst <= BOUND_SECONDS
    for (_, code), reads in seen.items():
        numbers = [one.number for one in reads]
        assert numbers == sorted(numbers), "a version went back on one worker"
        assert numbers[-1] == updates[code][-1].number


async def test_a_change_whose_management_dies_before_it_announces_it_arrives_all_the_same(
    racing: Launcher, capsys: pytest.CaptureFixture[str]
):
    user = send(racing.url("/users"), "POST", {"username": "k", "email": "k@example.com"}).json()
    body = {"user_id": user["id"], "original_url": "https://example.com/0", "short_code": "killed"}
    link = send(racing.url("/urls"), "POST", body).json()
    ports = [urlsplit(part.url).port or 0 for part in racing.stack().redirectors]
    delays = []
    for number in range(1, KILLS + 1):
        await asyncio.gather(*(read(port, "killed", time.monotonic() + 0.5, []) for port in ports))
        parts = racing.parts()
        held = [parts[name].pid or 0 for name in ("cache", "bus")]
        for pid in held:  # nothing can be announced: the commit is all that happens
            os.kill(pid, signal.SIGSTOP)
        target = f"https://example.com/{number}"
        try:
            changed = send(racing.url(f"/urls/{link['id']}"), "PUT", {"original_url": target})
            acknowledged = time.monotonic()
            os.kill(parts["management"].pid or 0, signal.SIGKILL)
        finally:
            for pid in held:
                os.kill(pid, signal.SIGCONT)
        assert changed.status == 200
        arrived = await asyncio.gather(*(first_read(port, "killed", number) for port in ports))
        delays.append(max(arrived) - acknowledged)
        await asyncio.to_thread(eventually, lambda: send(racing.url("/urls")).status == 200)

    with capsys.disabled():
        shown = ", ".join(f"{delay:.2f}" for delay in delays)
        print(f"\nafter a kill between commit and announcement, known everywhere in {shown} s")
    assert max(delays) <= KILL_BOUND_SECONDS


async def first_read(port: int, code: str, number: int) -> float:
    """Return when the redirector first answered with the target of this number."""
    async with Line(port) as line, asyncio.timeout(10 * KILL_BOUND_SECONDS):
        while True:
            began = time.monotonic()
            _, location = await line.ask("GET", f"/{code}")
            if location.endswith(f"/{number}"):
                return began
            await asyncio.sleep(0.005)
