"""What a User-Agent header says: device, system and browser. No I/O."""

from functools import lru_cache
from typing import Literal

import msgspec
import ua_parser

Device = Literal["desktop", "mobile", "tablet", "other"]

MAX_CHARACTERS = 512  # a longer one is cut: some patterns are slow on long texts
REMEMBERED = 4_096
SYSTEMS = {
    "Mac OS X": "macOS",
    "Chrome OS": "ChromeOS",
    "Ubuntu": "Linux",
    "Fedora": "Linux",
    "Debian": "Linux",
}
DESKTOPS = {"Windows", "macOS", "Linux", "ChromeOS"}
PHONES = {"Windows Phone", "BlackBerry OS", "KaiOS", "Firefox OS"}


class UserAgent(msgspec.Struct, frozen=True):
    """What could be told; `system` and `browser` are names, empty where unknown."""

    device: Device
    system: str
    browser: str


@lru_cache(REMEMBERED)
def parse(header: str) -> UserAgent:
    """Tell what `header` says, by the patterns of https://github.com/ua-parser/uap-core."""
    header = header[:MAX_CHARACTERS]
    found = ua_parser.parse(header)
    family = found.os.family if found.os else ""
    system = SYSTEMS.get(family, family)
    browser = found.user_agent.family if found.user_agent else ""
    return UserAgent(_device(header, system), system, browser)


def _device(header: str, system: str) -> Device:
    if system == "iOS":
        return "tablet" if "iPad" in header else "mobile"
    if system == "Android":  # its browsers say "Mobile" on telephones, and only there
        return "mobile" if "Mobile" in header else "tablet"
    if system in DESKTOPS:
        return "desktop"
    return "mobile" if system in PHONES else "other"
