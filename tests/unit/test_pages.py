"""What a phone and a dark room ask of the pages that visitors see."""

from pathlib import Path

import pytest

from management import home
from redirector import password_form, preview
from shared import http

GATEWAY = Path("gateway/nginx.conf").read_text(encoding="utf-8")
PAGES = {
    "home": home.PAGE,
    "password": password_form.PAGE,
    "preview": preview.PAGE,
    "error": http.ERROR_PAGE,
    "gateway": GATEWAY,
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_keeps_off_the_edge_of_a_narrow_screen_and_follows_the_colour_scheme(page: str):
    assert "padding: 0 1rem" in page
    assert "color-scheme: light dark" in page
    assert "color: #" not in page, "a fixed colour of text is not read on the other ground"
