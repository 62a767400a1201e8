"""What is stored of a click beyond its link: with what, from where, and whether by a person."""

import asyncio
import re
from collections.abc import Sequence

import msgspec

from event_ingest.agents import UNKNOWN, Agents
from event_ingest.visitors import VisitorNumbers
from shared.countries import Countries
from shared.events import DEFAULT_DOMAIN, Click

# The usual shape of a language tag (RFC 5646): what else a header holds is no language.
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,3}")

AT_A_STRETCH = 500  # clicks; then whoever stores the batch before may have its answer


class Details(msgspec.Struct, omit_defaults=True):
    """The details of a stored redirect; only what is known."""

    short_code: str
    domain: int = DEFAULT_DOMAIN
    referrer: str | None = None
    user_agent: str | None = None
    request_id: str = ""
    device: str = ""
    system: str = ""
    browser: str = ""
    bot: str = ""
    language: str = ""
    country: str = ""
    source: str | None = None
    address: str | None = None


class Enriched(msgspec.Struct, frozen=True):
    """A click as it is stored: its details as JSON, and its visitor where it was a person."""

    click: Click
    details: bytes
    visitor: int | None


class Enrichment:
    """Enriches the clicks of one consumer.

    `keep_addresses` is for an operator who wants them: else an address serves to tell the country
    and the visitor, and is stored nowhere.
    """

    def __init__(
        self, countries: Countries, visitors: VisitorNumbers, *, keep_addresses: bool
    ) -> None:
        self._agents = Agents()
        self._countries = countries
        self._visitors = visitors
        self._keep_addresses = keep_addresses

    async def enrich(self, clicks: Sequence[Click]) -> list[Enriched]:
        """Return `clicks` with all that is stored of them; raises redis-py's errors."""
        await self._visitors.prepare(clicks)
        self._agents.begin_batch()
        enriched: list[Enriched] = []
        for start in range(0, len(clicks), AT_A_STRETCH):
            enriched += map(self._enrich, clicks[start : start + AT_A_STRETCH])
            await asyncio.sleep(0)
        return enriched

    def _enrich(self, click: Click) -> Enriched:
        agent = self._agents.tell(click.user_agent) if click.user_agent else UNKNOWN
        details = Details(
            click.code,
            click.domain,
            click.referrer,
            click.user_agent,
            click.request_id,
            agent.device,
            agent.system,
            agent.browser,
            agent.bot,
            click.language if click.language and LANGUAGE.fullmatch(click.language) else "",
            self._countries.country(click.address) if click.address else "",
            click.source,
            click.address if self._keep_addresses else None,
        )
        visitor = None if agent.bot else self._visitors.number(click)
        return Enriched(click, _encoder.encode(details), visitor)


_encoder = msgspec.json.Encoder()
