"""What the redirector answers on this host, described here: one document for all."""

from management.descriptions import Description, Path
from shared.errors import DomainError, Unavailable

CODE = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "examples": ["hello"]}


class Gone(DomainError):
    """The link is switched off."""

    status = 410


def _described(name: str, text: str) -> Description:
    return Description(
        name=name,
        text=text,
        status=302,
        headers=("Cache-Control", "Location", "X-Cache"),
        path={"short_code": CODE},
        errors=(Gone, Unavailable),
    )


PATHS = [
    Path(
        path,
        {
            "get": _described(f"follow{suffix}", "Go where a link leads; this is a click."),
            "head": _described(f"peek{suffix}", "Tell where a link leads; this is no click."),
        },
        needs_key=False,
    )
    for path, suffix in [("/{short_code}", ""), ("/urls/{short_code}/redirect", "_by_its_url")]
]
