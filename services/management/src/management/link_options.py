"""What an owner may set of a link beyond its target: a check of each."""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from management import fields
from management.fields import Check
from shared.events import Rule

MAX_PASSWORD = 200  # characters; the redirector looks at no more
MAX_CACHE_SECONDS = 365 * 24 * 3600
MAX_TAGS = 30
MAX_TAG = 50
MAX_NOTES = 2000
MAX_RULES = 20
MAX_CONDITIONS = 50  # of one kind in one rule
REDIRECT_TYPES = (301, 302, 307, 308)
DEVICES = ("desktop", "mobile", "tablet", "other")
# As `shared.user_agents` names systems, or as a browser would be wrong to; any other is a typo.
SYSTEMS = (
    "android", "blackberry os", "chromeos", "firefox os", "freebsd", "ios", "kaios", "linux",
    "macos", "openbsd", "tizen", "tvos", "watchos", "windows", "windows phone",
)  # fmt: skip
_LANGUAGE = r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*"
_COUNTRY = r"[A-Za-z]{2}"


def whole_number(least: int, most: int) -> Check:
    """Accept an integer from `least` to `most`."""

    @fields.accepts(type="integer", minimum=least, maximum=most)
    def check(value: object) -> int:
        if type(value) is not int:
            raise ValueError("must be an integer")
        if not least <= value <= most:
            raise ValueError(f"must be between {least} and {most}")
        return value

    return check


@fields.accepts(
    type=["integer", "null"],
    enum=[*REDIRECT_TYPES, None],
    description="The status of the redirect; null is 302. A permanent one is kept for 90 s by "
    "browsers unless `cache_seconds` says otherwise, so that edits arrive.",
)
def redirect_type(value: object) -> int | None:
    """Accept the status of a redirect."""
    if value is None:
        return None
    if type(value) is not int or value not in REDIRECT_TYPES:
        raise ValueError(f"must be one of {', '.join(map(str, REDIRECT_TYPES))}")
    return value


@fields.accepts(
    type=["array", "null"],
    maxItems=MAX_TAGS,
    items={"type": "string", "minLength": 1, "maxLength": MAX_TAG, "pattern": r"\S"},
    description="Words to find the link by. Spaces around one, and repetitions, are dropped.",
    examples=[["spring", "mail"]],
)
def tags(value: object) -> tuple[str, ...]:
    """Accept a list of short texts; null is none."""
    items = [] if value is None else _list(value, MAX_TAGS)
    accept = fields.text(MAX_TAG)
    return tuple(dict.fromkeys(_each(items, lambda item: str(accept(item)).strip())))


@fields.accepts(
    type=["string", "null"],
    maxLength=MAX_NOTES,
    description="For yourself; may have several lines.",
)
def notes(value: object) -> str | None:
    """Accept a text of several lines; an empty one is none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - every check raises the same
    if len(value) > MAX_NOTES:
        raise ValueError(f"must not be longer than {MAX_NOTES} characters")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in _flat(value)):
        raise ValueError("must not contain control characters other than line ends and tabs")
    return value


def _meaning(check: Check, description: str, **schema: object) -> Check:
    return Check(check, {**check.schema, "description": description, **schema})


def _shown_time(check: Check, description: str) -> Check:
    """Return times as the API shows them, without offset."""

    def accept(value: object) -> datetime:
        given: datetime = check(value)
        return given.replace(tzinfo=None)

    return fields.optional(Check(accept, {**check.schema, "description": description}))


starts_at = _shown_time(
    fields.moment,
    "When the link begins, in UTC: until then it answers 410. Before `expires_at`. Null: at once.",
)
expires_at = _shown_time(
    fields.moment, "When the link ends, in UTC: from then on it answers 410. Null: never."
)
new_expires_at = _shown_time(
    fields.future_time, "When the link ends, a time to come in UTC: from then on it answers 410."
)
password = fields.optional(
    _meaning(
        fields.text(MAX_PASSWORD),
        "Asked of each visitor. Never shown again; null removes it.",
        writeOnly=True,
        examples=["open sesame"],
    )
)
max_clicks = fields.optional(
    _meaning(fields.integer, "After so many clicks the link answers 410. Null: no limit.")
)
cache_seconds = fields.optional(
    _meaning(
        whole_number(0, MAX_CACHE_SECONDS),
        "How long a browser may keep the redirect: clicks meanwhile are not seen, and edits "
        "arrive after it.",
    )
)
forward_query = _meaning(fields.boolean, "Append a visitor's query string to the target's.")
archived = _meaning(fields.boolean, "Left out of lists; it goes on redirecting.")


def expired_url(target: Check) -> Check:
    """Accept another target, which `target` accepts, or null."""
    return fields.optional(
        _meaning(target, "Where visitors go once the link has expired or had all its clicks.")
    )


def wrong_span(starts_at: datetime | None, expires_at: datetime | None) -> dict[str, str]:
    """Return the details of an error where a link would end before it begins."""
    if starts_at is None or expires_at is None or starts_at < expires_at:
        return {}
    return {"starts_at": "starts_at must be before expires_at"}


def rules(target: Check) -> Check:
    """Accept an ordered list of rules whose targets `target` accepts; null is none."""
    schema = {
        "type": "object",
        "required": ["target"],
        "additionalProperties": False,
        "properties": {"target": target.schema}
        | {name: check.schema for name, check in _CONDITIONS.items()},
    }

    def rule(value: object) -> Rule:
        if not isinstance(value, dict):
            raise ValueError("must be an object")  # noqa: TRY004 - every check raises the same
        checks = {"target": target, **_CONDITIONS}
        for name in value:
            if name not in checks:  # a condition that is misspelt would take everybody
                raise ValueError(f"has {name!r:.60}, which is none of {', '.join(checks)}")
        if "target" not in value:
            raise ValueError("has no target")
        return Rule(**{name: _field(name, checks[name], each) for name, each in value.items()})

    @fields.accepts(
        type=["array", "null"],
        maxItems=MAX_RULES,
        items=schema,
        description="Other targets for some visitors. The first rule whose conditions all hold "
        "takes the visitor; each lists what is accepted, `percent` is a share of those left.",
        examples=[
            [
                {"target": "https://example.com/app", "devices": ["mobile"], "systems": ["ios"]},
                {"target": "https://example.com/b", "percent": 50},
            ]
        ],
    )
    def check(value: object) -> tuple[Rule, ...]:
        return () if value is None else tuple(_each(_list(value, MAX_RULES), rule))

    return check


def _field(name: str, check: Check, value: object) -> Any:  # noqa: ANN401 - whatever it accepts
    try:
        return check(value)
    except ValueError as problem:
        raise ValueError(f"{name} {problem}") from None


def _flat(value: str) -> str:
    return value.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")


def _list(value: object, limit: int) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("must be a list")  # noqa: TRY004 - every check raises the same
    if len(value) > limit:
        raise ValueError(f"must not have more than {limit} items")
    return value


def _each(items: list[Any], accept: Callable[[Any], Any]) -> list[Any]:
    accepted = []
    for number, item in enumerate(items, 1):
        try:
            accepted.append(accept(item))
        except ValueError as problem:
            raise ValueError(f"item {number} {problem}") from None
    return accepted


def _one_of(known: Collection[str]) -> Check:
    @fields.accepts(type="array", maxItems=MAX_CONDITIONS, items={"enum": [*known]})
    def check(value: object) -> tuple[str, ...]:
        def one(item: object) -> str:
            if not isinstance(item, str) or item.lower() not in known:
                raise ValueError(f"must be one of {', '.join(known)}")
            return item.lower()

        return tuple(_each(_list(value, MAX_CONDITIONS), one))

    return check


def _matching(pattern: str, example: str) -> Check:
    shape = re.compile(rf"{pattern}\Z")

    @fields.accepts(
        type="array",
        maxItems=MAX_CONDITIONS,
        items={"type": "string", "pattern": f"^{pattern}$", "examples": [example]},
    )
    def check(value: object) -> tuple[str, ...]:
        def one(item: object) -> str:
            if not isinstance(item, str) or not shape.match(item):
                raise ValueError(f"must be like {example}")
            return item.lower()

        return tuple(_each(_list(value, MAX_CONDITIONS), one))

    return check


_CONDITIONS = {
    "devices": _one_of(DEVICES),
    "systems": _one_of(SYSTEMS),
    "languages": _matching(_LANGUAGE, "de-at"),
    "countries": _matching(_COUNTRY, "de"),
    "percent": whole_number(1, 100),
}


def checks(target: Check, expiry: Check) -> Mapping[str, Check]:
    """Return the check of each option; `target` is that of every target among them."""
    return {
        "starts_at": starts_at,
        "expires_at": expiry,
        "expired_url": expired_url(target),
        "max_clicks": max_clicks,
        "password": password,
        "redirect_type": redirect_type,
        "cache_seconds": cache_seconds,
        "forward_query": forward_query,
        "tags": tags,
        "notes": notes,
        "rules": rules(target),
        "archived": archived,
    }
