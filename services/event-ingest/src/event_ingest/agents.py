"""What a User-Agent header tells: with what somebody came, or that it was a program. No I/O.

Bots are told by the patterns of https://github.com/monperrus/crawler-user-agents.
"""

from typing import Literal

import crawleruseragents
import msgspec

from event_ingest import metrics
from shared import user_agents

REMEMBERED = 16_384
# Telling takes some 0.1 to 0.7 ms. Real visitors bring few headers that others did not bring
# before them; who sends a new one with every request must not hold everybody's clicks up.
MAX_NEW_A_BATCH = 500
# Programs that fetch a page because somebody sent its address to somebody, to show what it is.
PREVIEWS = (
    "facebookexternalhit", "whatsapp", "slackbot", "slack-imgproxy", "twitterbot", "telegrambot",
    "discordbot", "linkedinbot", "skypeuripreview", "redditbot", "mastodon", "pinterestbot",
    "vkshare", "viber", "embedly", "iframely", "bluesky", "iframebot", "teamsbot", "applebot-link",
)  # fmt: skip


class Agent(msgspec.Struct, frozen=True):
    """What could be told, empty where nothing; of a program only that it is one."""

    device: str = ""
    system: str = ""
    browser: str = ""
    bot: Literal["", "bot", "preview"] = ""


UNKNOWN = Agent()


class Agents:
    """Tells agents, each header once."""

    def __init__(self) -> None:
        self._known: dict[str, Agent] = {}
        self._left = 0

    def begin_batch(self) -> None:
        """Allow some more headers that were not seen before."""
        self._left = MAX_NEW_A_BATCH

    def tell(self, header: str) -> Agent:
        """Return what `header` tells; nothing, counted, where there were too many new ones."""
        known = self._known.get(header)
        if known is not None:
            return known
        if self._left <= 0:
            metrics.AGENTS_SKIPPED.inc()
            return UNKNOWN
        self._left -= 1
        agent = _tell(header[: user_agents.MAX_CHARACTERS])
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[header] = agent
        return agent


def _tell(header: str) -> Agent:
    lowered = header.lower()
    if any(name in lowered for name in PREVIEWS):
        return Agent(bot="preview")
    if crawleruseragents.is_crawler(header):
        return Agent(bot="bot")
    parsed = user_agents.parse(header)
    if not (parsed.system or parsed.browser):
        return UNKNOWN
    return Agent(parsed.device, parsed.system, parsed.browser)
