"""What the rules of a link ask about a visitor, told from their headers and address."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

import maxminddb

from redirector.choices import Visitor
from redirector.visitors import first_language
from shared import user_agents

log = logging.getLogger(__name__)


class VisitorTraits:
    """Tells device, system, language and country; of an unknown kind it tells nothing.

    Countries come from a database in MaxMind's format that the operator supplies.
    """

    def __init__(self, countries: Path | None) -> None:
        self._countries = None if countries is None else maxminddb.open_database(countries)

    def visitor(self, headers: Mapping[bytes, bytes], address: str) -> Visitor:
        """Return what can be told."""
        agent = headers.get(b"user-agent", b"").decode("latin-1")
        traits = user_agents.parse(agent)
        return Visitor(
            identity=hashlib.sha256(f"{address}/{agent}".encode()).hexdigest(),
            device=traits.device,
            system=traits.system.lower(),
            language=first_language(headers.get(b"accept-language", b"").decode("latin-1")),
            country=self._country(address),
        )

    def close(self) -> None:
        """Close the database."""
        if self._countries is not None:
            self._countries.close()

    def _country(self, address: str) -> str:
        if self._countries is None:
            return ""
        try:
            found = self._countries.get(address)
        except ValueError:  # no address
            return ""
        country = found.get("country") if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code.lower() if isinstance(code, str) else ""
