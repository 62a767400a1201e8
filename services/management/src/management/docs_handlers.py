"""`/openapi.json` and `/docs`: the API's description, and a page to read it (Swagger UI)."""

import base64
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from management.descriptions import HTML, Media
from management.errors import NotFound
from management.resources import State, operation

# Found, not imported: the package's import would hold three viewers in memory for ever.
_SPEC = find_spec("offapi")
_FOLDER = Path(((_SPEC and _SPEC.submodule_search_locations) or [""])[0])
ASSETS = {
    "swagger-ui.js": ("swagger_bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger_style.css", "text/css"),
}
CACHE_CONTROL = "public, max-age=3600"  # a new release shows within the hour

START = """
SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#docs", validatorUrl: "none",
  deepLinking: true, docExpansion: "list", tryItOutEnabled: false,
});
"""
PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Shortwire API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<div id="docs"></div>
<noscript><p>The same, for programs: <a href="/openapi.json">/openapi.json</a>.</p></noscript>
<script src="/docs/swagger-ui.js"></script>
<script>{START}</script>
</html>
"""
_START_HASH = base64.b64encode(hashlib.sha256(START.encode()).digest()).decode()
POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src 'self' 'sha256-{_START_HASH}'",
        "style-src 'self'",
        "img-src 'self' data:",  # the icons within its style sheet
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)


@operation(HTML, headers=("Content-Security-Policy",))
async def docs(_: Request[State]) -> Response:
    """Return a page to read this description."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@operation(
    Media(tuple(kind for _, kind in ASSETS.values())),
    headers=("Cache-Control",),
    path={"asset": {"type": "string", "enum": list(ASSETS)}},
)
async def asset(request: Request[State]) -> Response:
    """Return a file of that page."""
    name = request.path_params["asset"]
    if name not in ASSETS:
        raise NotFound("Not found")
    file, kind = ASSETS[name]
    return FileResponse(_FOLDER / file, media_type=kind, headers={"Cache-Control": CACHE_CONTROL})


@operation(dict[str, Any])
async def openapi_json(request: Request[State]) -> Response:
    """Return this description, an OpenAPI 3.1 document."""
    return Response(request.state["openapi"], media_type="application/json")
