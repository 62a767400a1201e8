from hypothesis import given
from hypothesis import strategies as st

from redirector.choices import Visitor, target_of
from redirector.visitors import Visitors, anonymize, first_language
from shared.events import LinkRecord, Rule

OWN = "https://example.com/own"
OTHER = "https://example.com/other"


def link(*rules: Rule) -> LinkRecord:
    return LinkRecord(version=1, state="active", cached_at=0.0, target=OWN, rules=rules)


@given(st.integers(0, 100))
def test_a_share_of_the_visitors_is_about_what_was_asked_for(percent: int):
    record = link(Rule(target=OTHER, percent=percent))

    taken = sum(
        target_of(record, 1, Visitor(identity=str(number))) == OTHER for number in range(2000)
    )

    assert abs(taken / 20 - percent) < 6


def test_rules_are_tried_in_their_order_and_draw_apart():
    record = link(Rule(target=f"{OTHER}/1", percent=50), Rule(target=f"{OTHER}/2", percent=50))

    targets = [target_of(record, 1, Visitor(identity=str(number))) for number in range(2000)]

    shares = [targets.count(each) / 2000 for each in (f"{OTHER}/1", f"{OTHER}/2", OWN)]
    assert all(
        abs(share - wanted) < 0.05 for share, wanted in zip(shares, (0.5, 0.25, 0.25), strict=True)
    )


def test_every_condition_of_a_rule_has_to_hold():
    record = link(Rule(target=OTHER, devices=("mobile",), countries=("at", "de")))

    assert target_of(record, 1, Visitor(identity="", device="mobile", country="de")) == OTHER
    assert target_of(record, 1, Visitor(identity="", device="mobile", country="fr")) == OWN
    assert target_of(record, 1, Visitor(identity="", device="mobile")) == OWN


def test_an_address_keeps_its_network_only():
    assert anonymize("203.0.113.9") == "203.0.113.0"
    assert anonymize("2001:db8:1:2::3") == "2001:db8:1::"
    assert anonymize("::ffff:203.0.113.9") == "203.0.113.0"
    assert anonymize("somebody") is None


def test_only_trusted_peers_name_the_visitors_address():
    visitors = Visitors(
        trusted_proxies="10.0.0.0/8, ::1", address_policy="full", honour_opt_out=False
    )

    assert [visitors.is_trusted(peer) for peer in ("10.1.2.3", "::1", "11.1.2.3", "")] == [
        True, True, False, False,
    ]  # fmt: skip


@given(st.text())
def test_a_language_is_short_and_never_a_wildcard(accepted: str):
    assert len(first_language(accepted)) <= 35
    assert first_language("*") == ""
    assert first_language("de-AT;q=0.9, en") == "de-at"
