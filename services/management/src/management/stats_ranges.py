"""The time that statistics are asked for: which UTC days, cut how, in whose zone."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import msgspec
from starlette.requests import Request

from management import fields, pages
from management.errors import Malformed
from management.stats_repository import Days, Interval

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2099, 12, 31)
MAX_DAYS: Mapping[str, int] = {"hour": 31, "day": 1_096, "week": 3_660, "month": 3_660}
DEFAULT_DAYS: Mapping[str, int] = {"hour": 2, "day": 30, "week": 182, "month": 365}
_ZONE = re.compile(r"[A-Za-z][A-Za-z_]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,2}\Z")


@fields.accepts(type="string", format="date", description="The first UTC day of the range.")
def _first(value: str) -> date:
    return _day(value)


@fields.accepts(type="string", format="date", description="The last UTC day; today if left out.")
def _last(value: str) -> date:
    return _day(value)


def _day(value: str) -> date:
    try:
        day = date.fromisoformat(value) if len(value) == len("2026-04-03") else None
    except ValueError:
        day = None
    if day is None or not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError("must be a day like 2026-04-03")
    return day


@fields.accepts(
    type="string", enum=list(get_args(Interval)), default="day", description="The series' step."
)
def _interval(value: str) -> str:
    if value not in get_args(Interval):
        raise ValueError(f"must be one of {', '.join(get_args(Interval))}")
    return value


@fields.accepts(
    type="string",
    default="UTC",
    maxLength=64,
    examples=["Europe/Vienna"],
    description="By whose clock days, weeks and months begin: a name of the IANA database. An hour "
    "counts where it begins by UTC, also where clocks differ by half of one.",
)
def _zone(value: str) -> str:
    if not _ZONE.match(value):
        raise ValueError("must be a name of the IANA database, like Europe/Vienna")
    return value


@fields.accepts(
    type="string",
    enum=["previous"],
    description="Tell the totals and the series of the time just before, too: so many whole months "
    "where the range is whole months, else so many days.",
)
def _compare(value: str) -> str:
    if value != "previous":
        raise ValueError("must be previous")
    return value


RANGE = {"from": _first, "to": _last}
CUT = {"interval": _interval, "timezone": _zone}
COMPARE = {"compare": _compare}


class Range(msgspec.Struct, frozen=True):
    """The days from `first` to `last`, and how they are cut."""

    first: date
    last: date
    interval: Interval
    zone: str

    @property
    def days(self) -> Days:
        """The range as moments."""
        midnight = datetime.min.time()
        return Days(
            datetime.combine(self.first, midnight, UTC),
            datetime.combine(self.last + timedelta(days=1), midnight, UTC),
        )

    @property
    def previous(self) -> "Range":
        """As many whole months just before, of whole months; else as many days."""
        after = self.last + timedelta(days=1)
        if self.first.day == after.day == 1:
            first = _months_earlier(self.first, _months(after) - _months(self.first))
        else:
            first = self.first - (after - self.first)
        return msgspec.structs.replace(self, first=first, last=self.first - timedelta(days=1))


def _months(day: date) -> int:
    return day.year * 12 + day.month - 1


def _months_earlier(first: date, count: int) -> date:
    year, month = divmod(_months(first) - count, 12)
    return date(year, month + 1, 1)


def read_range(request: Request[Any], today: date) -> Range:
    """Return the range asked for; raises `Malformed` naming the parameter."""
    given = pages.read_filters(request, RANGE | CUT)
    interval: Interval = given.get("interval", "day")
    last = given.get("to", today)
    first = given.get("from")
    if first is None:
        first = max(FIRST_DAY, last - timedelta(days=DEFAULT_DAYS[interval] - 1))
    if first > last:
        raise Malformed("from must not be after to", {"from": "from must not be after to"})
    most = MAX_DAYS[interval]
    if (last - first).days >= most:
        message = f"from must be at most {most} days before the end, with the interval {interval}"
        raise Malformed(message, {"from": message})
    return Range(first, last, interval, given.get("timezone", "UTC"))
