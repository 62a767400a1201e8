import pytest
from hypothesis import given
from hypothesis import strategies as st

from management import short_codes, targets

OWN = frozenset({"sho.rt", "localhost"})


@pytest.mark.parametrize(
    "target",
    [
        "https://opswise.net/young/uplink/1",
        "https://example.com",
        "http://example.com:8080/a//b?x=1&y=%20#top",
        "https://sub.domain.co.uk/?",
        "https://example.com/%zz?a[]=1|2",
        "https://xn--fa-hia.de/",
    ],
)
def test_a_good_target_is_stored_unchanged(target: str):
    assert targets.check(target, OWN) == target


@pytest.mark.parametrize(
    ("target", "stored"),
    [
        ("HTTPS://Example.COM/Path", "https://example.com/Path"),
        ("https://faß.de/straße", "https://xn--fa-hia.de/stra%C3%9Fe"),
        ("https://bücher.example.com/", "https://xn--bcher-kva.example.com/"),
        ("https://example.com./a", "https://example.com/a"),
        ("https://例え.jp", "https://xn--r8jz45g.jp"),
    ],
)
def test_a_target_is_stored_in_its_ascii_form(target: str, stored: str):
    assert targets.check(target, OWN) == stored


@pytest.mark.parametrize(
    "target",
    [
        None,
        7,
        "",
        "nowhere",
        "example.com",
        "//example.com",
        "/path",
        "ftp://example.com",
        "javascript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "http:example.com",
        "http:///example.com",
        "https://",
        "https://example",
        "https://localhost/",
        "https://foo.local/",
        "https://foo.invalid/",
        "https://foo.notatld/",
        "https://com/",
        "https://co.uk/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://10.0.0.1/",
        "https://8.8.8.8/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[2001:db8::1]/",
        "https://\uff11\uff12\uff17.0.0.1/",  # full-width digits
        "https://example.com\\@evil.com/",
        "https://good.com\\@evil.com/",
        "https://user:pw@example.com/",
        "https://user@example.com/",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://example.com:x/",
        "https://example.com/a b",
        "https://example.com/\r\nSet-Cookie: a=b",
        "https://example.com/\0",
        "https://exa mple.com/",
        "https://-example.com/",
        "https://exa_mple.com/",
        "https://example..com/",
        "https://sho.rt/abc",
        "https://SHO.rt./abc",
        "https://example.com/" + "x" * 2048,
        "https://example.com/\x85",
        "https://example%2ecom/",
    ],
)
def test_a_bad_target_is_refused_with_a_sentence(target: object):
    with pytest.raises(ValueError, match="must"):
        targets.check(target, OWN)


@given(st.text())
def test_whatever_is_given_is_refused_or_safe_to_send(text: str):
    for target in (text, f"https://{text}", f"https://example.com/{text}"):
        try:
            stored = targets.check(target, OWN)
        except ValueError:
            continue
        assert stored.isascii()
        assert stored.isprintable()
        assert " " not in stored
        assert targets.check(stored, OWN) == stored, "what is stored passes its own check"


def test_a_new_code_is_a_good_code_and_no_reserved_word(monkeypatch: pytest.MonkeyPatch):
    letters = iter("healthab12CD")
    monkeypatch.setattr("secrets.choice", lambda _: next(letters))

    assert short_codes.generate() == "ab12CD"
    assert short_codes.custom("ab12CD") == "ab12CD"
