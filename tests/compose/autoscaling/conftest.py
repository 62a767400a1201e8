"""An installation that scales soon: small replicas, short intervals."""

import secrets
from collections.abc import Iterator

import pytest

from tests.compose.autoscaling.scaled import Scaled
from tests.compose.deployment.installation import engine_missing


@pytest.fixture(scope="session")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scaled]:
    """The whole of compose.yaml, with an admin's key."""
    if missing := engine_missing():
        pytest.skip(f"a container engine is needed: {missing}")
    made = Scaled(f"sw-{secrets.token_hex(3)}", tmp_path_factory.mktemp("scaled"))
    try:
        made.up()
        made.make_key()
        yield made
    finally:
        made.remove()
