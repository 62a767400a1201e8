"""What a newcomer reads once everything runs: addresses, and three lines to paste."""

import json
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from shortwire.settings import Settings

LOST_KEY = "the admin key of the first start"
NEW_KEY = ".venv/bin/shortwire keys create --admin --name NAME"


def text(settings: Settings, data: Path, *, key: str, next_user_id: int) -> str:
    """Return the welcome; `key` is the first admin key where it was made just now."""
    url = settings.gateway_url()
    lines = [
        "",
        f"  Gateway    {url}",
        f"  API        {url}/users, /urls and /events (see docs/api.md)",
        f"  Data       {data} (logs in logs/, every part in stack.json)",
        "",
    ]
    if key:
        lines += [f"  Your admin key, shown only now: {key}", ""]
    lines += ["Try it from another terminal:", ""]
    if settings.auth == "required" and not key:
        lines += [f"  KEY=…   # {LOST_KEY}; another one: {NEW_KEY}"]
    lines += tour(url, _key_header(settings, key), next_user_id, secrets.token_hex(2))
    return "\n".join([*lines, "", "Ctrl-C stops everything; the data stays."])


def tour(url: str, header: Sequence[str], user_id: int, suffix: str) -> list[str]:
    """Return the lines that make a user, shorten and follow; `suffix` keeps names unused."""
    user = {"username": f"ada-{suffix}", "email": f"ada-{suffix}@example.com"}
    link = {
        "user_id": user_id,
        "original_url": "https://example.com/hello",
        "short_code": f"hello-{suffix}",
    }
    return [
        _post(f"{url}/users", header, user),
        _post(f"{url}/urls", header, link),
        f"  curl -i {url}/hello-{suffix}",
    ]


def _key_header(settings: Settings, key: str) -> list[str]:
    if settings.auth == "open":
        return []
    return ["-H", f'"X-API-Key: {key or "$KEY"}"']


def _post(url: str, header: Sequence[str], body: Mapping[str, object]) -> str:
    content = ["-H", "'Content-Type: application/json'", "-d", shlex.quote(json.dumps(body))]
    return " ".join(["  curl", *header, *content, url])
