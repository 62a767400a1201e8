"""Signatures, pauses and addresses of webhooks."""

import pytest

from management.public_addresses import NotPublic, check_literal, is_public
from management.webhook_messages import new_secret, sign
from management.webhook_sender import BACKOFF_MAX_SECONDS, MAX_ATTEMPTS, backoff


def test_a_signature_is_that_of_the_standard_s_own_example():
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        '{"test": 2432232314}',
    )

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secrets_differ():
    assert new_secret() != new_secret()


def test_pauses_grow_to_a_bound_and_end():
    pauses = [backoff(attempts, 5.0) for attempts in range(1, MAX_ATTEMPTS + 1)]

    assert pauses[-1] is None
    real = [pause for pause in pauses if pause is not None]
    assert len(real) == MAX_ATTEMPTS - 1
    assert 2.5 <= real[0] <= 5.0
    assert BACKOFF_MAX_SECONDS / 2 <= real[-1] <= BACKOFF_MAX_SECONDS


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2002:a00:1::",
    ],
)  # fmt: skip
def test_an_address_of_a_private_network_is_not_public(address: str):
    assert not is_public(address)
    with pytest.raises(NotPublic):
        check_literal(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_other_addresses_are(address: str):
    assert is_public(address)
    check_literal(address)


def test_a_name_is_left_to_the_resolver():
    check_literal("example.com")
