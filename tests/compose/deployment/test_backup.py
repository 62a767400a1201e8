"""A backup is worth what its restoration gives."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.deployment.installation import Installation

TABLES = ["users", "urls", "events", "clicks_hourly", "api_keys", "schema_migrations", "outbox"]


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Installation]:
    """An empty installation of the same release, with passwords and images of its own.

    The first one's tags would from then on name images that carry this project's label.
    """
    made = Installation(f"sw-{secrets.token_hex(3)}", tmp_path)
    try:
        made.up()
        yield made
    finally:
        made.remove()


def rows(installation: Installation, table: str) -> str:
    """A number that depends on every value of every row, but for when a key was used last."""
    text = (
        "SELECT count(*), md5(string_agg(told, '|' ORDER BY told))"
        f" FROM (SELECT (to_jsonb(row) - 'last_used_at')::text AS told FROM {table} row) AS rows"
    )
    return installation.sql(text)


def test_a_backup_is_restored_into_an_empty_system(
    installation: Installation, second: Installation, tmp_path: Path
):
    links = installation.make_links(5, "saved")
    for code in links:
        installation.ask(f"/{code}")
    installation.await_clicks("saved", 5)
    file = tmp_path / "backup.dump"

    installation.script("backup.sh", str(file))
    second.script("restore.sh", str(file))

    for table in TABLES:
        assert rows(second, table) == rows(installation, table), table
    second.key = installation.key  # keys are data, too
    for code, target in links.items():
        assert second.ask(f"/{code}").headers["location"] == target
    second.await_clicks("saved", 10)
    assert second.make_user("after") > installation.make_user("after") - 1


def test_a_restoration_never_replaces_data(installation: Installation, tmp_path: Path):
    installation.make_user("kept")
    file = tmp_path / "backup.dump"
    installation.script("backup.sh", str(file))

    with pytest.raises(AssertionError, match="There are users in this system"):
        installation.script("restore.sh", str(file))

    assert installation.ask("/health/ready").status == 200


def test_a_backup_that_fails_leaves_no_file(installation: Installation, tmp_path: Path):
    file = tmp_path / "backup.dump"
    installation.compose("stop", "postgres")
    try:
        with pytest.raises(AssertionError):
            installation.script("backup.sh", str(file))
    finally:
        installation.compose("start", "postgres")
        installation.await_ready()

    assert list(tmp_path.iterdir()) == []
