import time
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redirector.click_identity import ClickIdentifier


class Identity(msgspec.Struct, frozen=True):
    id: UUID
    at: datetime


def identify(identifier: ClickIdentifier, request_id: bytes, started: bytes | None) -> Identity:
    members = identifier.identify(request_id, started)
    return msgspec.json.decode(b"{%b}" % members, type=Identity)


def in_seconds(moment: float) -> bytes:
    return f"{moment:.3f}".encode()


def test_both_tries_of_a_request_are_one_click():
    started = in_seconds(time.time())

    first = identify(ClickIdentifier(), b"request-1", started)
    second = identify(ClickIdentifier(), b"request-1", started)

    assert first == second
    assert identify(ClickIdentifier(), b"request-2", started).id != first.id
    later = in_seconds(time.time() + 1)
    assert identify(ClickIdentifier(), b"request-1", later).id != first.id


@pytest.mark.parametrize(
    "started", [None, b"", b"x", b"nan", b"inf", b"1e400", b"0", b"-5", b"2000000000.5", b"\xff"]
)
def test_without_a_start_near_our_clock_every_call_is_another_click(started: bytes | None):
    identifier = ClickIdentifier()

    identities = {identify(identifier, b"request-1", started) for _ in range(1000)}

    assert len({identity.id for identity in identities}) == 1000
    assert all(abs(one.at.timestamp() - time.time()) < 5 for one in identities)


def test_two_processes_make_no_id_alike():
    ids = {identify(one, b"r", None).id for one in [ClickIdentifier() for _ in range(1000)]}

    assert len(ids) == 1000


@given(st.binary())
def test_an_id_is_a_uuid_of_version_7_that_tells_its_time(request_id: bytes):
    started = in_seconds(time.time())

    identity = identify(ClickIdentifier(), request_id, started)

    assert (identity.id.version, identity.id.variant) == (7, "specified in RFC 4122")
    assert identity.id.int >> 80 == round(identity.at.timestamp() * 1000)
    assert in_seconds(identity.at.timestamp()) == started
    assert identity.at.tzinfo == UTC
