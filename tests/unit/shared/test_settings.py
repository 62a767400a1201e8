from typing import Literal

import pytest

from shared import settings
from shared.settings import RedisURL, WebAddress


class Settings(settings.Settings, frozen=True, kw_only=True):
    auth: Literal["open", "required"] = "required"
    public_url: WebAddress = ""
    bus_url: RedisURL | None = None
    port: int = 8080


@pytest.mark.parametrize(
    ("environ", "end"),
    [
        ({"AUTH": "no"}, "at `$.AUTH`: one of open, required"),
        ({"PUBLIC_URL": "go"}, "at `$.PUBLIC_URL`: an address like https://go.example.com"),
        ({"PORT": "http"}, "at `$.PORT`"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(environ: dict[str, str], end: str):
    with pytest.raises(SystemExit) as refused:
        settings.load(Settings, environ)

    assert str(refused.value).startswith("Wrong setting: ")
    assert str(refused.value).endswith(end)


@pytest.mark.parametrize("address", ["https://go.example.com", "http://[::1]:8080/", ""])
def test_a_web_address_is_taken(address: str):
    assert settings.load(Settings, {"PUBLIC_URL": address}).public_url == address


@pytest.mark.parametrize(
    "address", ["go.example.com", "ftp://go.example.com", "https://", "https://a b", "https://a/?x"]
)
def test_what_is_no_web_address_is_refused(address: str):
    with pytest.raises(SystemExit, match="PUBLIC_URL"):
        settings.load(Settings, {"PUBLIC_URL": address})
