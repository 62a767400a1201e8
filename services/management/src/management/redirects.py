"""What the redirector answers on this host, described here: one document for all."""

from typing import Any

import msgspec

from management import fields
from management.descriptions import Description, Path
from management.errors import TooLarge
from management.fields import Moment
from shared.errors import DomainError, Unavailable

CODE = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "examples": ["hello"]}


class Gone(DomainError):
    """The link is switched off, has expired or has had all its clicks."""

    status = 410


class MethodNotAllowed(DomainError):
    """Nothing is to be posted to this link."""

    status = 405


class PasswordNeeded(DomainError):
    """The link asks for a password, or it was another one."""

    status = 401
    headers = {"WWW-Authenticate": 'Password realm="link"'}  # noqa: RUF012 - as its base has it


class Hidden(DomainError):
    """The link asks for a password, and its target is a part of the secret."""

    status = 403


class Preview(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of a link; `varies` says that it may lead others elsewhere."""

    short_code: str
    original_url: str
    title: str | None = None
    created_at: Moment | None = None
    varies: bool = False


PASSWORD = fields.Body(checks={"password": fields.text(200)}, example={"password": "open sesame"})


def _described(name: str, text: str, **more: Any) -> Description:  # noqa: ANN401 - passed on
    return Description(
        name=name,
        text=text,
        status=302,
        headers=("Cache-Control", "Location", "X-Cache"),
        path={"short_code": CODE},
        **{
            "other_statuses": (301, 307, 308),
            "errors": (Gone, PasswordNeeded, Unavailable),
            **more,
        },
    )


PATHS = [
    Path(
        path,
        {
            "get": _described(f"follow{suffix}", "Go where a link leads; this is a click."),
            "head": _described(f"peek{suffix}", "Tell where a link leads; this is no click."),
            "post": _described(
                f"unlock{suffix}",
                "Give a link's password, as JSON or as a form; this is a click.\n\n"
                "A link that redirects with 307 or 308 passes any POST on. Any other link answers "
                "405.",
                body=PASSWORD,
                other_statuses=(303, 307, 308),
                errors=(Gone, PasswordNeeded, MethodNotAllowed, TooLarge, Unavailable),
            ),
        },
        needs_key=False,
    )
    for path, suffix in [("/{short_code}", ""), ("/urls/{short_code}/redirect", "_by_its_url")]
]
_PREVIEW = Description(
    name="preview",
    text="Show where a link leads, without going there; this is no click.",
    returns=Preview,
    has_page=True,
    example=Preview("hello", "https://example.com/hello", "Hello", fields.EXAMPLE_TIME),
    headers=("Cache-Control", "X-Robots-Tag"),
    path={"short_code": CODE},
    errors=(Gone, Hidden, Unavailable),
)
PATHS.append(
    Path(
        "/{short_code}+",
        {"get": _PREVIEW, "head": msgspec.structs.replace(_PREVIEW, name="peek_preview")},
        needs_key=False,
    )
)
