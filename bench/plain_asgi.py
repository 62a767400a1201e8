"""The least that an ASGI application can do: 302 and nothing else, on uvicorn."""

import os

import uvicorn
from starlette.types import Receive, Scope, Send

TARGET = b"https://www.example.com/a/page?of=some&length=1"
HEADERS = [(b"location", TARGET), (b"cache-control", b"private, max-age=0")]


async def app(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer any request."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 302, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        http="httptools",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_level="warning",
    )
