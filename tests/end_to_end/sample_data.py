"""Users, URLs and events as another shortener exports them, made up by rule."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

FIRST_ID = 50_000  # above what other tests make
USERS, URLS, EVENTS = 40, 200, 300


class Sample(msgspec.Struct, frozen=True):
    """Three files, and what each code has to answer."""

    users: Path
    urls: Path
    events: Path
    targets: dict[str, str]  # of active codes
    inactive: list[str]

    def options(self) -> list[str]:
        return [
            *("--users", str(self.users)),
            *("--urls", str(self.urls)),
            *("--events", str(self.events)),
        ]


def write(folder: Path) -> Sample:
    users = [
        (FIRST_ID + n, f"user{n}", f"user{n}@example.com", f"2025-07-{n % 28 + 1:02} 12:40:57")
        for n in range(USERS)
    ]
    urls = [
        (
            *(FIRST_ID + n, FIRST_ID + n % USERS, f"Cd{n:04}", f"https://example.com/page/{n}"),
            *(f"Title, {n}" if n % 7 else "", str(n % 6 != 0)),
            *(f"2025-{n % 12 + 1:02}-05 00:57:12", "2026-01-21 06:47:26"),
        )
        for n in range(URLS)
    ]
    events = [
        (
            *(FIRST_ID + n, FIRST_ID + n % URLS, FIRST_ID + n % USERS),
            *("created" if n < URLS else "updated", f"2025-{n % 12 + 1:02}-05 00:57:12"),
            json.dumps({"short_code": f"Cd{n % URLS:04}", "note": 'a "quoted", text'}),
        )
        for n in range(EVENTS)
    ]
    return Sample(
        users=_write(folder / "users.csv", "id,username,email,created_at", users),
        urls=_write(
            folder / "urls.csv",
            "id,user_id,short_code,original_url,title,is_active,created_at,updated_at",
            urls,
        ),
        events=_write(
            folder / "events.csv", "id,url_id,user_id,event_type,timestamp,details", events
        ),
        targets={str(row[2]): str(row[3]) for row in urls if row[5] == "True"},
        inactive=[str(row[2]) for row in urls if row[5] == "False"],
    )


def _write(path: Path, header: str, rows: Sequence[tuple[object, ...]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return path
