"""More streams of clicks, set under load: each is written and emptied, by the containers' users."""

from collections.abc import Iterator

import pytest

from tests.compose.deployment.installation import Installation
from tests.compose.deployment.visitors import crowd

STREAMS = 3


@pytest.fixture
def several_streams(installation: Installation) -> Iterator[None]:
    """The setting; afterwards redirectors write one stream again."""
    installation.settings["CLICK_STREAMS"] = str(STREAMS)
    yield
    del installation.settings["CLICK_STREAMS"]
    installation.compose("up", "--detach", "--no-build", "--wait")
    installation.await_ready()


@pytest.mark.usefixtures("several_streams")
def test_clicks_go_to_several_streams_from_one_release_to_the_next(installation: Installation):
    links = installation.make_links(10, "streamed")
    with crowd(installation, links) as visitors:
        installation.script("upgrade.sh")

    assert set(visitors.redirects) == {"302"}, installation.complaints()
    installation.await_clicks("streamed", visitors.redirects["302"])
    for number in range(STREAMS):
        assert entries_added(installation, f"clicks:{{{number}}}") > 0
    assert entries_added(installation, f"clicks:{{{STREAMS}}}") == 0


def entries_added(installation: Installation, stream: str) -> int:
    """How many entries a stream was given, trimmed ones too; 0 where there is none."""
    password = (installation.folder / "secrets" / "redis_operator_password").read_text().strip()
    login = ["redis-cli", "--user", "operator", "--no-auth-warning", "--pass", password]
    told = installation.compose("exec", "-T", "bus", *login, "xinfo", "stream", stream).split("\n")
    return int(told[told.index("entries-added") + 1]) if "entries-added" in told else 0
