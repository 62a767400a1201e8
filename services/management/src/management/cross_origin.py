"""Which other sites' pages may call the API from a browser (CORS, Fetch Standard section 3.2)."""

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from shared.http import error_response

PREFLIGHT_SECONDS = 7_200  # no browser that is common keeps an answer longer
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SENT = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "Last-Event-ID",
    "X-API-Key",
    "X-Request-ID",
)
SHOWN = (
    "Allow",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Limit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Next-Cursor",
    "X-Request-ID",
    "X-Total-Count",
)


class _CORSMiddleware(CORSMiddleware):
    """Starlette's, but what it refuses has the shape of all errors."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        message = bytes(answer.body).decode()
        return error_response(
            request_headers.get("accept", ""),
            answer.status_code,
            message,
            headers=self.preflight_headers,
        )


def allowing(origins: str) -> list[Middleware]:
    """Return what lets pages of these origins, with commas between, call us; of none, nothing.

    Cookies are none of ours and not let through.
    """
    named = [origin.strip() for origin in origins.split(",") if origin.strip()]
    if not named:
        return []
    return [
        Middleware(
            _CORSMiddleware,
            allow_origins=named,
            allow_methods=METHODS,
            allow_headers=SENT,
            expose_headers=SHOWN,
            max_age=PREFLIGHT_SECONDS,
        )
    ]
