"""QR codes: read back by a decoder that is not the library which drew them."""

import io
import re
from typing import Any

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from tests.integration.management.conftest import Api, Start

PUBLIC = "https://sho.rt"


def pixels_of_svg(picture: bytes) -> Image.Image:
    """Paint the SVG's one path of horizontal strokes, eight pixels a module."""
    text = picture.decode()
    side = re.search(r'<svg[^>]* width="([\d.]+)px" height="\1px" viewBox="0 0 \1 \1"', text)
    assert side
    dark = re.search(
        r'<path [^>]*d="(M[^"]+)"[^>]*class="qrline"|class="qrline"[^>]*d="([^"]+)"', text
    )
    assert dark
    image = Image.new("L", (1000, 1000), 255)
    draw = ImageDraw.Draw(image)
    x = y = 0.0
    for step, arguments in re.findall(r"([Mmh])([-\d. ]+)", dark[1] or dark[2]):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", arguments)]
        if step == "h":
            draw.rectangle((x * 8, (y - 0.5) * 8, (x + numbers[0]) * 8 - 1, (y + 0.5) * 8 - 1), 0)
            x += numbers[0]
        else:
            start = (0.0, 0.0) if step == "M" else (x, y)
            x, y = start[0] + numbers[0], start[1] + numbers[1]
    return image


def read(image: Image.Image) -> tuple[str, str]:
    """What a picture says, and its level."""
    (found,) = zxingcpp.read_barcodes(image)
    return found.text, found.ec_level


@pytest.fixture
async def code_of(start: Start):
    async with start(public_url=f"{PUBLIC}/") as api:
        url = await api.url(await api.user(), short_code="Spring_24")
        yield api, f"/urls/{url['id']}/qr"


HOLDS = f"{PUBLIC}/Spring_24?src=qr"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "size=64&margin=1&level=L",
        "size=2000&margin=16&level=H",
        "foreground=7a1fa2&background=fff3e0&level=Q",
        "foreground=%230d47a1",
    ],
)
async def test_a_png_says_the_short_link_and_where_it_was_read(
    code_of: tuple[Api, str], query: str
):
    api, path = code_of

    answer = await api.get(f"{path}?format=png&{query}")

    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "image/png"
    image = Image.open(io.BytesIO(answer.body))
    size = int(dict(re.findall(r"(\w+)=(\w+)", query)).get("size", "300"))
    assert size / 2 < image.width == image.height <= size
    assert read(image.convert("RGB"))[0] == HOLDS


async def test_an_svg_says_the_same_at_the_size_asked_for(code_of: tuple[Api, str]):
    api, path = code_of

    answer = await api.get(f"{path}?size=512&level=H")

    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert re.search(rb' width="512(\.0+)?px"', answer.body)
    assert read(pixels_of_svg(answer.body)) == (HOLDS, "H")


async def test_what_is_transparent_has_nothing_behind_it(code_of: tuple[Api, str]):
    api, path = code_of

    png = await api.get(f"{path}?format=png&background=transparent")
    svg = await api.get(f"{path}?background=transparent")

    corner: Any = Image.open(io.BytesIO(png.body)).convert("RGBA").getpixel((0, 0))
    assert corner[3] == 0
    assert b"#fff" not in svg.body


async def test_a_picture_that_is_known_is_not_sent_again(code_of: tuple[Api, str]):
    api, path = code_of
    first = await api.get(path)
    tag = first.headers["etag"]

    same = await api.get(path, headers={"If-None-Match": f'"other", {tag}'})
    other = await api.get(f"{path}?size=301", headers={"If-None-Match": tag})

    assert first.headers["cache-control"] == "private, max-age=3600"
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
    assert other.status == 200


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("format=gif", "format"),
        ("size=63", "size"),
        ("size=2001", "size"),
        ("size=3e2", "size"),
        ("margin=-1", "margin"),
        ("margin=17", "margin"),
        ("level=X", "level"),
        ("foreground=red", "foreground"),
        ("foreground=transparent", "foreground"),
        ("foreground=%23fff", "foreground"),
        ('background="/><script>', "background"),
        ("background=", "background"),
        ("foreground=eeeeee", "foreground"),
        ("foreground=000000&background=111111", "foreground"),
        ("foreground=eeeeee&background=transparent", "foreground"),
    ],
)
async def test_a_wrong_parameter_is_named(code_of: tuple[Api, str], query: str, name: str):
    api, path = code_of

    answer = await api.get(f"{path}?{query}".replace('"', "%22").replace("<", "%3C"))

    assert answer.status == 400, answer.body
    assert answer.error.startswith(f"{name} must")
    assert set(answer.json["details"]) == {name}


async def test_there_is_no_picture_of_what_is_not_there(code_of: tuple[Api, str]):
    api, path = code_of
    await api.delete(path.removesuffix("/qr"))

    assert (await api.get(path)).status == 404
    assert (await api.get("/urls/999/qr")).error == "URL not found"
    assert (await api.get("/urls/x/qr")).status == 404
