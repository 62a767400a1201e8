"""The page that asks for a link's password, and the reading of what comes back."""

import html
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from redirector.passwords import WrongPassword
from shared.errors import UNDECODABLE

MAX_BODY_BYTES = 4 << 10
# The form posts to its own address; the browser follows from there to the target.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action *"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>Password</title>
<style>
  :root {{ color-scheme: light dark; padding: 0 1rem }}
  body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto }}
  h1 {{ font-size: 1.6rem }} input, button {{ font: inherit; padding: .4rem .6rem }}
</style>
<h1>{title}</h1>
<form method="post">
  <label>Password <input type="password" name="password" autofocus required></label>
  <button>Go on</button>
</form>
</html>
"""


class _Body(msgspec.Struct):
    password: str


def password_form(error: WrongPassword) -> Response:
    """Return the page, with what is wrong."""
    page = PAGE.format(title=html.escape(error.message))
    headers = {**error.headers, "Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(page, error.status, headers)


async def read_password(request: Request[Any]) -> str | None:
    """Return the password that was posted, as a form or as JSON, or None."""
    if request.method != "POST":
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, "Request body too large")
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            return msgspec.json.decode(body, type=_Body).password
        except UNDECODABLE:
            raise HTTPException(400, "The body must be an object with a password") from None
    values = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10).get("password", [])
    return values[0] if values else None
