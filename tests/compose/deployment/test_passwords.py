"""New passwords under load: no request fails, no click is lost, the old ones are void."""

import time

from tests.compose.deployment.installation import Installation
from tests.compose.deployment.visitors import crowd

AFTER_SECONDS = 3.0


def test_passwords_are_changed_under_load(installation: Installation):
    folder = installation.folder / "secrets"
    old = {file.name: file.read_text() for file in folder.glob("*_password")}
    links = installation.make_links(10, "rotated")
    with crowd(installation, links) as visitors:
        installation.script("change-passwords.sh")
        time.sleep(AFTER_SECONDS)

    new = {file.name: file.read_text() for file in folder.glob("*_password")}
    assert set(old) == set(new)
    # Grafana reads a person's password at its first start only.
    assert {name for name in old if old[name] == new[name]} == {"grafana_password"}
    assert set(visitors.redirects) == {"302"}, installation.complaints()
    installation.await_clicks("rotated", visitors.redirects["302"])
    for password, answer in ((old, "NOPERM"), (new, "redirector")):
        login = ["--user", "redirector", "--no-auth-warning", "--pass"]
        said = installation.compose(
            "exec",
            "-T",
            "bus",
            "redis-cli",
            *login,
            password["redis_redirector_password"],
            "acl",
            "whoami",
        )
        assert answer in said
