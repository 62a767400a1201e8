"""Visitors who follow links and an owner who changes them, while something happens."""

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from shortwire.servers import LOOPBACK
from tests.compose.deployment.installation import Installation

VISITORS = 4
PAUSE_SECONDS = 0.01  # some 200 redirects a second of all four
OWNER_PAUSE_SECONDS = 0.05
REQUEST_SECONDS = 15.0


class Crowd:
    """Answers by what they were: "302", "503", or the name of an error."""

    def __init__(self) -> None:
        self.redirects: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()
        self.slowest = 0.0
        self._stop = threading.Event()

    def visit(self, port: int, links: Mapping[str, str], pause: float) -> None:
        for code, target in itertools.cycle(links.items()):
            if self._stop.is_set():
                return
            self.redirects[follow(port, code, target)] += 1
            time.sleep(pause)

    def change(self, installation: Installation, url_id: int) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            try:
                answer = installation.ask(f"/urls/{url_id}", "PUT", {"title": f"Title {number}"})
            except (OSError, http.client.HTTPException) as error:
                self.changes[repr(error)] += 1
            else:
                self.changes[str(answer.status)] += 1
            time.sleep(OWNER_PAUSE_SECONDS)

    def leave(self) -> None:
        self._stop.set()


def follow(port: int, code: str, target: str) -> str:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", f"/{code}")
        reply = connection.getresponse()
        reply.read()
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
    if reply.status == 302 and reply.headers["location"] != target:
        return "302 to elsewhere"
    return str(reply.status)


@contextmanager
def crowd(
    installation: Installation,
    links: Mapping[str, str],
    *,
    visitors: int = VISITORS,
    pause: float = PAUSE_SECONDS,
    owner_of: int | None = None,
) -> Iterator[Crowd]:
    """Visitors of `links`, and the owner of a URL where one is named, until the block ends."""
    made = Crowd()
    visit = partial(made.visit, installation.port, links, pause)
    jobs: list[Callable[[], None]] = [visit] * visitors
    if owner_of is not None:
        url_id = owner_of
        jobs.append(lambda: made.change(installation, url_id))
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.leave()
        for thread in threads:
            thread.join()
