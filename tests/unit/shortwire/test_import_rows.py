from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortwire import import_rows
from shortwire.import_rows import EVENT_COLUMNS, URL_COLUMNS, USER_COLUMNS, BadFile, Column

USERS = "id,username,email,created_at\n"
URLS = "id,user_id,short_code,original_url,title,is_active,created_at,updated_at\n"
EVENTS = "id,url_id,user_id,event_type,timestamp,details\n"
ADA = "1,ada,ada@example.com,2025-12-29 00:57:12\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


def test_a_row_has_its_line_and_typed_values_in_the_tables_order(file: Path):
    file.write_text(
        "\ufeffemail,id,created_at,username\nada@example.com,7,2025-12-29 00:57:12,ada\n"
    )

    rows = list(import_rows.read(file, USER_COLUMNS))

    moment = datetime(2025, 12, 29, 0, 57, 12, tzinfo=UTC)
    assert rows == [(2, 7, "ada", "ada@example.com", moment)]


def test_lines_are_counted_over_line_breaks_in_fields_and_empty_lines(file: Path):
    file.write_text(
        EVENTS + '1,,,created,2025-01-01 00:00:00,"{""a"":\n1}"\n\n2,1,1,x,2025-01-01 00:00:00,\n'
    )

    rows = list(import_rows.read(file, EVENT_COLUMNS))

    assert [row[0] for row in rows] == [2, 5]
    assert rows[1][-1] is None


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("", USER_COLUMNS, "line 1: the header is missing"),
        ("id,username,email\n", USER_COLUMNS, "line 1, field created_at: the column is missing"),
        (USERS.replace("\n", ",age\n"), USER_COLUMNS, "line 1, field age: the header must be"),
        (USERS.replace("\n", ",id\n"), USER_COLUMNS, "line 1, field id: the header must be"),
        (USERS + ADA + "2,bob\n", USER_COLUMNS, "line 3: 2 fields where the header has 4"),
        (USERS + ADA + '2,"bob\n', USER_COLUMNS, "line 3: no valid CSV"),
        (USERS + ADA.replace("1,", "0,", 1), USER_COLUMNS, "line 2, field id: '0' is no whole"),
        (USERS + ADA.replace("1,", "1.5,", 1), USER_COLUMNS, "field id: '1.5' is no whole"),
        (USERS + ADA.replace("1,", "9223372036854775808,", 1), USER_COLUMNS, "field id: "),
        (USERS + ADA.replace(",ada,", ",,"), USER_COLUMNS, "field username: must have 1 to 255"),
        (USERS + ADA.replace(",ada,", ",a\0,"), USER_COLUMNS, "field username: holds a NUL"),
        (USERS + ADA.replace("@", ""), USER_COLUMNS, "field email: 'adaexample.com' is no"),
        (USERS + ADA.replace("12-29", "13-29"), USER_COLUMNS, "field created_at: '2025-13-29"),
        (USERS + ADA.replace("2025", "0025"), USER_COLUMNS, "field created_at: the year must"),
        (URLS + "1,1,a/b,https://a.de,,True,2025-01-01,2025-01-01\n", URL_COLUMNS, "short_code"),
        (URLS + "1,1,Docs,https://a.de,,True,2025-01-01,2025-01-01\n", URL_COLUMNS, "a reserved"),
        (URLS + "1,1,ab,ftp://a.de,,True,2025-01-01,2025-01-01\n", URL_COLUMNS, "original_url"),
        (URLS + "1,1,ab,https://a.de/\t,,True,2025-01-01,2025-01-01\n", URL_COLUMNS, "original_"),
        (URLS + "1,1,ab,https://a.de,,yes,2025-01-01,2025-01-01\n", URL_COLUMNS, "is_active"),
        (EVENTS + "1,x,1,created,2025-01-01,\n", EVENT_COLUMNS, "field url_id"),
        (EVENTS + "1,1,1,,2025-01-01,\n", EVENT_COLUMNS, "field event_type"),
        (EVENTS + "1,1,1,created,2025-01-01,[1]\n", EVENT_COLUMNS, "field details: '[1]' is no"),
        (EVENTS + "1,1,1,created,2025-01-01,{\n", EVENT_COLUMNS, "field details: '{' is no JSON"),
        (EVENTS + '1,1,1,a,2025-01-01,"{""a"":""\\u0000""}"\n', EVENT_COLUMNS, "holds a NUL"),
    ],
)
def test_a_fault_is_named_by_line_and_field(file: Path, text: str, columns, expected: str):
    file.write_text(text)

    with pytest.raises(BadFile) as error:
        list(import_rows.read(file, columns))

    assert str(error.value).startswith(f"{file}, line ")
    assert expected in str(error.value)


def test_bytes_that_are_no_text_have_a_line(file: Path):
    file.write_bytes((USERS + ADA).replace("ada,", "caf\xe9,", 1).encode("latin-1"))

    with pytest.raises(BadFile, match="line 2, field username: is no valid UTF-8"):
        list(import_rows.read(file, USER_COLUMNS))


@given(st.integers(0, 4_000_000_000))
def test_a_time_without_offset_is_utc_and_one_with_is_converted(seconds: int):
    moment = datetime.fromtimestamp(seconds, UTC)
    eastern = moment.astimezone(timezone(timedelta(hours=2)))

    assert import_rows.time(str(moment.replace(tzinfo=None))) == moment
    assert import_rows.time(eastern.isoformat()) == moment


def fault(column: Column, text: str) -> str:
    try:
        column.parse(text)
    except ValueError as error:
        return str(error)
    return ""


@given(st.text(max_size=80))
def test_whatever_a_field_holds_it_is_a_value_or_a_fault_in_one_line(text: str):
    faults = [fault(c, text) for c in (*USER_COLUMNS, *URL_COLUMNS, *EVENT_COLUMNS)]

    assert all(sentence.isprintable() for sentence in faults)
