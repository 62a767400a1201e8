"""What the rules of a link ask about a visitor, told from their headers and address."""

import hashlib
from collections.abc import Mapping

from redirector.choices import Visitor
from redirector.visitors import first_language
from shared import user_agents
from shared.countries import Countries


class VisitorTraits:
    """Tells device, system, language and country; where it can't, it tells nothing."""

    def __init__(self, countries: Countries) -> None:
        self._countries = countries

    def visitor(self, headers: Mapping[bytes, bytes], address: str) -> Visitor:
        """Return what can be told."""
        agent = headers.get(b"user-agent", b"").decode("latin-1")
        traits = user_agents.parse(agent)
        return Visitor(
            identity=hashlib.sha256(f"{address}/{agent}".encode()).hexdigest(),
            device=traits.device,
            system=traits.system.lower(),
            language=first_language(headers.get(b"accept-language", b"").decode("latin-1")),
            country=self._countries.country(address).lower(),
        )
