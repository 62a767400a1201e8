"""A name server whose one answer can be changed, for what Nginx does when it does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseRequestHandler, UDPServer

from shortwire.servers import LOOPBACK

HEADER_BYTES = 12
FLAGS = b"\x81\x80"  # an answer, recursion available, no error
POINTER_TYPE_CLASS = b"\xc0\x0c\x00\x01\x00\x01"  # the question's name, A, IN
TTL = b"\x00\x00\x00\x01"
LENGTH = b"\x00\x04"


class Names:
    """`addresses` is the answer to every question; `asked` is set with each."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked = threading.Event()

    def answer(self, question: bytes) -> bytes:
        count = len(self.addresses).to_bytes(2, "big")
        head = question[:2] + FLAGS + question[4:6] + count + bytes(4)
        records = [
            POINTER_TYPE_CLASS + TTL + LENGTH + socket.inet_aton(address)
            for address in self.addresses
        ]
        return head + question[HEADER_BYTES:] + b"".join(records)


@contextmanager
def name_server(names: Names) -> Iterator[int]:
    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            question, answers = self.request
            answers.sendto(names.answer(question), self.client_address)
            names.asked.set()

    with UDPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def gone(address: str, port: int) -> Iterator[None]:
    """An address that answers nobody, as that of a container which was removed."""
    with socket.create_server((address, port), backlog=0) as full, socket.socket() as first:
        first.connect(full.getsockname())  # never accepted: for the next one there is no room
        yield
