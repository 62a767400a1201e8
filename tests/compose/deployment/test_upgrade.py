"""A new release under load: no request fails, no click and no change is lost."""

import time

from tests.compose.deployment.installation import Installation
from tests.compose.deployment.visitors import crowd

AFTER_SECONDS = 3.0


def test_an_upgrade_under_load_loses_no_request(installation: Installation):
    links = installation.make_links(10, "upgraded")
    listed = installation.ask("/urls?short_code=upgraded-0").json()
    before = {c["Id"] for c in installation.inspect("redirector", "management", "event-ingest")}
    with crowd(installation, links, owner_of=listed[0]["id"]) as visitors:
        installation.versions.append(f"{installation.name}-2")

        said = installation.script("upgrade.sh")
        time.sleep(AFTER_SECONDS)

    print(f"{visitors.redirects} {visitors.changes}\n{said}")
    after = installation.inspect("redirector", "management", "event-ingest")
    assert before.isdisjoint(c["Id"] for c in after)
    assert {c["Config"]["Image"].rpartition(":")[2] for c in after} == {installation.versions[-1]}
    assert len(after) == 5
    assert set(visitors.redirects) == {"302"}, installation.complaints()
    assert set(visitors.changes) == {"200"}
    installation.await_clicks("upgraded", visitors.redirects["302"])
    stored = installation.sql(
        "SELECT count(*) FROM events WHERE event_type = 'updated'"
        f" AND url_id = {listed[0]['id']} AND details->>'title' LIKE 'Title %'"
    )
    assert int(stored) == visitors.changes["200"]
