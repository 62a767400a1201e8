"""What a list of URLs may be narrowed to and ordered by. No I/O."""

from collections.abc import Callable
from datetime import datetime

from management import fields, link_options, pages
from management.orders import Kinds

MIN_SEARCH = 3  # a trigram: what is shorter finds nothing by an index
MAX_SEARCH = 200
MAX_REPEATED = 20
MAX_COUNTED = 10_000  # of a common word a million links would be read
STATUSES = ("active", "inactive", "scheduled", "expired", "exhausted")
TAGS_MODES = ("all", "any")
EXCLUDED = "-"  # before a tag
FEATURES = ("password", "rules", "expiry")
# The type of each field's value in a cursor.
ORDERS: Kinds = {
    "created_at": datetime,
    "updated_at": datetime,
    "title": str | None,
    "short_code": str,
    "clicks": int,
    "last_click_at": datetime | None,
}


@fields.accepts(
    type="string",
    minLength=MIN_SEARCH,
    maxLength=MAX_SEARCH,
    description="Part of the code, the target, the title or a tag, in whatever case. A target is "
    "searched as it is stored, in ASCII.",
    examples=["hello"],
)
def search(value: str) -> str:
    """Read what to search for; spaces around it do not count."""
    term = str(fields.text(MAX_SEARCH)(value)).strip()
    if len(term) < MIN_SEARCH:
        raise ValueError(f"must be at least {MIN_SEARCH} characters")
    return term


def one_of(values: tuple[str, ...], meaning: str) -> fields.Check:
    """Return the check of a parameter that is one of `values`."""

    @fields.accepts(type="string", enum=list(values), description=meaning)
    def parse(value: str) -> str:
        if value not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return value

    return parse


def repeated(check: Callable[[str], str], schema: fields.Schema, meaning: str) -> fields.Check:
    """Return the check of a parameter that may be given several times, each to `check`."""

    @fields.accepts(
        type="array", minItems=1, maxItems=MAX_REPEATED, items=schema, description=meaning
    )
    def parse(values: list[str]) -> list[str]:
        if len(values) > MAX_REPEATED:
            raise ValueError(f"must not be given more than {MAX_REPEATED} times")
        return sorted({check(value) for value in values})

    return parse


_tag = fields.text(link_options.MAX_TAG)
tag = fields.Check(lambda value: str(_tag(value)).strip(), _tag.schema)  # as it is stored
_feature = one_of(FEATURES, "")


def wanted_tag(value: str) -> str:
    """Read a tag, or with `-` before it one that is not wanted."""
    excludes = value.startswith(EXCLUDED)
    name = tag(value.removeprefix(EXCLUDED))
    return f"{EXCLUDED}{name}" if excludes else name


FILTERS: dict[str, fields.Check] = {
    "user_id": pages.parse_id,
    "is_active": pages.parse_boolean,
    "short_code": pages.parse_text,
    "archived": pages.parse_archived,
    "q": search,
    "tag": repeated(
        wanted_tag,
        {**tag.schema, "maxLength": link_options.MAX_TAG + len(EXCLUDED)},
        "With each of these, or see `tags_mode`; with `-` before it: without this one.",
    ),
    "tags_mode": one_of(
        TAGS_MODES,
        "Whether a link has to have `all` of the tags (so without this) or `any`; it has to be "
        "without each excluded one either way.",
    ),
    "status": one_of(
        STATUSES,
        "What a visitor meets: `inactive` is switched off, `scheduled` before its time, `expired` "
        "past it, `exhausted` at its number of clicks, `active` none of these.",
    ),
    "has": repeated(
        _feature, {"type": "string", "enum": list(FEATURES)}, "With each of these set."
    ),
    "created_after": fields.Check(
        pages.parse_time, {**pages.parse_time.schema, "description": "This time or later."}
    ),
    "created_before": fields.Check(
        pages.parse_time, {**pages.parse_time.schema, "description": "Earlier than this time."}
    ),
}
INCLUDE: dict[str, fields.Check] = {
    "include": one_of(
        ("clicks",),
        "`clicks`: how often each was clicked and when last, `clicks` and `last_click_at`, as of a "
        "minute ago at most. A list in the order of one of them tells both.",
    )
}
COUNT: dict[str, fields.Check] = {
    "count": fields.Check(
        pages.parse_boolean,
        {
            **pages.parse_boolean.schema,
            "default": False,
            "description": "Say in `X-Total-Count` how many there are on all pages.",
        },
    )
}
