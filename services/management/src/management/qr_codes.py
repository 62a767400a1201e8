"""QR codes of short links, as SVG or PNG. No I/O."""

import io
import re
from typing import Literal

import msgspec
import segno

from management import fields
from management.url_filters import one_of

FORMATS = ("svg", "png")
LEVELS = ("L", "M", "Q", "H")
MIN_SIZE, DEFAULT_SIZE, MAX_SIZE = 64, 300, 2000
DEFAULT_MARGIN, MAX_MARGIN = 4, 16  # in modules; the standard asks for 4
MIN_CONTRAST = 3.0  # below it cameras begin to fail, as eyes do (WCAG 2.2, 1.4.11)
TRANSPARENT = "transparent"
_COLOUR = re.compile(r"#?([0-9A-Fa-f]{6})\Z")


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How a code is drawn. `size` is the width in pixels, `margin` is in modules."""

    format: Literal["svg", "png"] = "svg"
    size: int = DEFAULT_SIZE
    margin: int = DEFAULT_MARGIN
    level: Literal["L", "M", "Q", "H"] = "M"
    foreground: str = "#000000"
    background: str | None = "#ffffff"  # None: nothing behind it


def draw(text: str, style: Style) -> bytes:
    """Return the picture of `text`.

    An SVG is exactly `size` wide. A PNG is the largest whole number of pixels a module that fits,
    since blurred edges are what scanners fail on.
    """
    code = segno.make_qr(text, error=style.level)
    modules = code.symbol_size(border=style.margin)[0]
    out = io.BytesIO()
    common = {"border": style.margin, "dark": style.foreground, "light": style.background}
    if style.format == "png":
        code.save(out, kind="png", scale=max(1, style.size // modules), **common)
    else:
        # With a unit it gets a viewBox, without which a page can't scale it.
        code.save(out, kind="svg", scale=style.size / modules, unit="px", **common)
    return out.getvalue()


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _number(least: int, most: int, default: int, meaning: str) -> fields.Check:
    @fields.accepts(
        type="integer", minimum=least, maximum=most, default=default, description=meaning
    )
    def parse(value: str) -> int:
        number = int(value) if value.isascii() and value.isdigit() and len(value) <= 9 else -1
        if not least <= number <= most:
            raise ValueError(f"must be an integer from {least} to {most}")
        return number

    return parse


@fields.accepts(
    type="string",
    pattern=r"^#?[0-9A-Fa-f]{6}$",
    default="000000",
    description="Of the modules, as hexadecimal RGB.",
)
def _foreground(value: str) -> str:
    match = _COLOUR.match(value)
    if match is None:
        raise ValueError("must be a colour like 1a2b3c")
    return f"#{match[1].lower()}"


@fields.accepts(
    type="string",
    pattern=rf"^(#?[0-9A-Fa-f]{{6}}|{TRANSPARENT})$",
    default="ffffff",
    description=f"Behind them, or `{TRANSPARENT}`.",
)
def _background(value: str) -> str | None:
    if value == TRANSPARENT:
        return None
    try:
        return str(_foreground(value))
    except ValueError as problem:
        raise ValueError(f"{problem}, or {TRANSPARENT}") from None


PARAMETERS = {
    "format": one_of(FORMATS, "What to draw; `svg` unless given."),
    "size": _number(
        MIN_SIZE, MAX_SIZE, DEFAULT_SIZE, "The width in pixels; that of a PNG at most."
    ),
    "margin": _number(0, MAX_MARGIN, DEFAULT_MARGIN, "Around the code, in modules."),
    "level": one_of(LEVELS, "How much may be damaged: 7, 15, 25 or 30 %; `M` unless given."),
    "foreground": _foreground,
    "background": _background,
}


def style_of(values: dict[str, object]) -> Style:
    """Return the style that the given parameters make; raises `ValueError`."""
    style = msgspec.convert(values, Style)
    if contrast(style.foreground, style.background or "#ffffff") < MIN_CONTRAST:
        raise ValueError("must stand out from the background, or no camera will read it")
    return style
