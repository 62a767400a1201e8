"""Codes that no link may have, because a path of ours begins with them."""

# Every first path segment in use, now or by a later release.
RESERVED = frozenset(
    {
        "api",
        "app",
        "admin",
        "assets",
        "banned-hosts",
        "docs",
        "domains",
        "events",
        "export",
        "exports",
        "favicon",
        "health",
        "import",
        "imports",
        "keys",
        "login",
        "logout",
        "me",
        "metrics",
        "openapi",
        "qr",
        "redirect",
        "reserved-codes",
        "robots",
        "session",
        "sessions",
        "static",
        "stats",
        "tags",
        "urls",
        "users",
        "webhooks",
    }
)


def is_reserved(code: str) -> bool:
    """Tell whether `code` would hide one of our own paths."""
    return code.lower() in RESERVED
