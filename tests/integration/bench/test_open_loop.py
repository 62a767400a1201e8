"""The client that holds a rate, before a server that stands still for a while."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from bench import open_loop

STALL_SECONDS = 0.5
RATE = 200.0
ANSWER = b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"


def serve(listener: socket.socket, status: bytes) -> None:
    """Answer on each connection; stand still at the tenth request of all."""
    lock, asked = threading.Lock(), [0]

    def converse(connection: socket.socket) -> None:
        with connection:
            while connection.recv(4096):
                with lock:
                    asked[0] += 1
                    if asked[0] == 10:
                        time.sleep(STALL_SECONDS)
                connection.sendall(ANSWER.replace(b"302", status))

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=converse, args=[connection], daemon=True).start()


@pytest.fixture(params=[b"302"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=open_loop.CONNECTIONS)
    threading.Thread(target=serve, args=[listener, request.param], daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_who_is_due_while_the_server_stands_still_waits_and_is_counted(port: int):
    answers = open_loop.send(port, "/abc", rate=RATE, seconds=1.0)

    assert (answers.asked, answers.refused, len(answers.seconds)) == (200, 0, 200)
    assert answers.seconds == sorted(answers.seconds)
    # All that were due in the first half of the pause waited for at least its other half.
    waited = [seconds for seconds in answers.seconds if seconds >= STALL_SECONDS / 2]
    assert len(waited) >= RATE * STALL_SECONDS / 2 * 0.9


@pytest.mark.parametrize("port", [b"503"], indirect=True)
def test_an_answer_that_is_no_redirect_is_refused(port: int):
    answers = open_loop.send(port, "/abc", rate=RATE, seconds=0.1)

    assert (answers.asked, answers.refused, answers.seconds) == (20, 20, [])
