"""The whole system, started once by its launcher."""

import signal
from collections.abc import Iterator

import pytest

from tests.end_to_end.launcher import Launcher


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Two redirectors, no keys, limits that a test does not meet by accident."""
    data = tmp_path_factory.mktemp("system") / "data"
    launcher = Launcher(data, REDIRECTORS="2", API_RATE="10000", REDIRECT_RATE="100000")
    try:
        yield launcher.wait_ready()
    finally:
        launcher.end(signal.SIGTERM)
