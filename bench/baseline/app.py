"""The redirect: cache, else table, then the event."""

import json
import os
from typing import TypedDict, cast

from flask import Flask, redirect, request
from flask.typing import ResponseReturnValue
from redis import Redis

from bench.baseline.event_writer import write_later
from bench.baseline.models import URL, database

CACHE_SECONDS = 300


class Link(TypedDict):
    """What is kept in the cache."""

    id: int
    user_id: int
    original_url: str
    is_active: bool


cache = Redis.from_url(os.environ["BASELINE_CACHE_URL"])
app = Flask(__name__)


@app.get("/<short_code>")
def follow(short_code: str) -> ResponseReturnValue:
    """Answer a visitor."""
    link = _find(short_code)
    if link is None:
        return {"error": "Not found"}, 404
    if not link["is_active"]:
        return {"error": "URL is deactivated"}, 410
    details = {"short_code": short_code, "user_agent": request.headers.get("User-Agent", "")}
    write_later(link["id"], link["user_id"], details)
    answer = redirect(link["original_url"], 302)
    answer.headers["Cache-Control"] = "private, max-age=0"
    return answer


def _find(short_code: str) -> Link | None:
    cached = cast("bytes | None", cache.get(f"url:{short_code}"))
    if cached is not None:
        return cast("Link", json.loads(cached))
    with database.connection_context():
        row = URL.get_or_none(URL.short_code == short_code)
    if row is None:
        return None
    link = Link(
        id=row.id, user_id=row.user_id, original_url=row.original_url, is_active=row.is_active
    )
    cache.setex(f"url:{short_code}", CACHE_SECONDS, json.dumps(link))
    return link
