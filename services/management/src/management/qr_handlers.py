"""`/urls/{id}/qr`: a link as a picture."""

import asyncio
import hashlib

from starlette.requests import Request
from starlette.responses import Response

from management import pages, qr_codes, url_repository
from management.connections import connection
from management.descriptions import Media
from management.errors import Malformed, NotFound
from management.resources import State, operation, path_id, principal_of

MISSING = "URL not found"
SOURCE = "src=qr"  # tells a click of the picture from one of the link
MEDIA_TYPES = {"svg": "image/svg+xml", "png": "image/png"}
# Long enough for a page that shows many; a link whose code was changed keeps its old one as well.
CACHE_CONTROL = "private, max-age=3600"


@operation(
    Media(tuple(MEDIA_TYPES.values())),
    headers=("Cache-Control", "ETag"),
    query={name: check.schema for name, check in qr_codes.PARAMETERS.items()},
)
async def read_qr(request: Request[State]) -> Response:
    """Return the URL as a QR code.

    It holds the short link with `?src=qr`, so that its visits can be told from others. With
    `If-None-Match` the answer is 304 while the picture is the same.
    """
    url_id = path_id(request, "url_id", MISSING)
    given = pages.read_filters(request, qr_codes.PARAMETERS)
    try:
        style = qr_codes.style_of(given)
    except ValueError as problem:
        message = f"foreground {problem}"
        raise Malformed(message, {"foreground": message}) from None
    async with connection(request.state["pool"]) as lent:
        link = await url_repository.find(lent, url_id, principal_of(request).owner)
    if link is None:
        raise NotFound(MISSING)
    text = f"{request.state['public_url']}/{link.url.short_code}?{SOURCE}"
    picture = await asyncio.to_thread(qr_codes.draw, text, style)
    tag = f'"{hashlib.sha256(picture).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": CACHE_CONTROL}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture, media_type=MEDIA_TYPES[style.format], headers=headers)
