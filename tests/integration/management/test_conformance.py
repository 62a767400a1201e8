from pathlib import Path

import msgspec
import pytest

from management import admission
from tests.conformance import ask_all
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_auth import admin_key


async def test_the_service_keeps_to_its_description(
    start: Start, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # It tries wrong keys on each route: the eleventh would be told to wait.
    patient = msgspec.structs.replace(admission.FAILURES, capacity=100_000)
    monkeypatch.setattr(admission, "FAILURES", patient)
    async with start(auth="required") as nobody:
        api = Api(nobody.port, await admin_key(database))
        await api.url(await api.user())

        await ask_all(
            f"http://127.0.0.1:{api.port}/openapi.json",
            tmp_path,
            *("--header", f"Authorization: Bearer {api.key}"),
            # The redirector's, and one that does not end.
            *("--exclude-path-regex", r"\{short_code\}|/live$"),
        )
