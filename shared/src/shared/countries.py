"""The country of an address, from a database in MaxMind's format that the operator supplies."""

import logging
from functools import lru_cache
from pathlib import Path

import maxminddb

log = logging.getLogger(__name__)

REMEMBERED = 16_384


class Countries:
    """Looks countries up; without a database it knows none, and says so once.

    Raises `SystemExit` with one sentence where `database` is none or can't be read.
    """

    def __init__(self, database: Path | None) -> None:
        self._database = None if database is None else _open(database)
        if database is None:
            log.info("countries.none", extra={"setting": "GEOIP_DATABASE"})
        self.country = lru_cache(REMEMBERED)(self._look_up)

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()

    def _look_up(self, address: str) -> str:
        """Return the ISO 3166-1 alpha-2 code, empty where it is not known."""
        if self._database is None:
            return ""
        try:
            found = self._database.get(address)
        except ValueError:  # no address
            return ""
        country = found.get("country") if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) else ""


def _open(database: Path) -> maxminddb.Reader:
    try:
        return maxminddb.open_database(database)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise SystemExit(f"GEOIP_DATABASE can't be read: {error}") from None
