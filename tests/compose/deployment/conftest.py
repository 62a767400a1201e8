"""One installation for the tests of this folder; without an engine they are skipped, saying why."""

import secrets
from collections.abc import Iterator

import pytest

from tests.compose.deployment.installation import Installation, engine_missing


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The whole of compose.yaml, with an admin's key."""
    if missing := engine_missing():
        pytest.skip(f"a container engine is needed: {missing}")
    made = Installation(f"sw-{secrets.token_hex(3)}", tmp_path_factory.mktemp("installation"))
    try:
        made.up()
        made.make_key()
        yield made
    finally:
        made.remove()
