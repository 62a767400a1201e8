"""The CSV file of `POST /users/bulk`. No I/O."""

import csv
import io
from datetime import UTC, datetime

from management import fields
from management.errors import Invalid, Malformed
from management.user_repository import ImportedUser

COLUMNS = ["id", "username", "email", "created_at"]
MAX_ROWS = 200_000
CHECKS = {
    "id": fields.integer,
    "username": fields.text(fields.MAX_USERNAME),
    "email": fields.email,
}


def parse(content: bytes) -> list[ImportedUser]:
    """Return the file's users; raises `Invalid` naming line and field."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Invalid(f"Line {line}: the file must be UTF-8") from None
    if not text.strip():
        return []
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        if header != COLUMNS:
            raise Malformed(f"The first line must be {','.join(COLUMNS)}")
        return [_user(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise Invalid(f"Line {reader.line_num}: {error}") from None


def _user(line: int, row: dict[str | None, str | None]) -> ImportedUser:
    if line > MAX_ROWS + 1:
        raise Invalid(f"Line {line}: a file may have at most {MAX_ROWS} rows")
    if None in row or None in row.values():
        raise Invalid(f"Line {line}: a row must have {len(COLUMNS)} fields")
    values: dict[str, object] = dict(row)  # type: ignore[arg-type]
    number = str(values["id"]).strip()
    values["id"] = int(number) if number.isascii() and number.isdigit() else number
    try:
        checked = fields.check_fields(values, CHECKS, error=Invalid)
    except Invalid as error:
        raise Invalid(f"Line {line}: {error.message}", error.details) from None
    return ImportedUser(
        line, checked["id"], checked["username"], checked["email"], _created_at(line, row)
    )


def _created_at(line: int, row: dict[str | None, str | None]) -> datetime:
    try:
        return datetime.strptime(row["created_at"] or "", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        message = "created_at must be like 2026-04-03 12:00:00"
        raise Invalid(f"Line {line}: {message}", {"created_at": message}) from None
