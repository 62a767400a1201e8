from typing import Literal

import pytest

from shared import settings
from shared.settings import Origins, RedisURL, WebAddress


class Settings(settings.Settings, frozen=True, kw_only=True):
    auth: Literal["open", "required"] = "required"
    public_url: WebAddress = ""
    bus_url: RedisURL | None = None
    cors_origins: Origins = ""
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


APP = "https://app.example.com"


@pytest.mark.parametrize(
    "origins", ["", APP, f"{APP}, http://localhost:3000", f"http://[::1],{APP},"]
)
def test_origins_are_taken(origins: str):
    assert settings.load(Settings, {"CORS_ORIGINS": origins}).cors_origins == origins


@pytest.mark.parametrize(
    "origins",
    ["*", "null", "app.example.com", "https://App.example.com", f"{APP}/", f"{APP} {APP}"],
)
def test_what_is_no_origin_is_refused(origins: str):
    with pytest.raises(SystemExit, match="CORS_ORIGINS`: origins like "):
        settings.load(Settings, {"CORS_ORIGINS": origins})
