import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import asyncpg

from tests.end_to_end import sample_data
from tests.end_to_end.launcher import DEADLINE_SECONDS, Launcher, eventually, send


def shortwire(launcher: Launcher, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shortwire", *arguments],
        env={"DATA_DIR": str(launcher.data), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )


SELECT_CLICKS = """
    SELECT details ->> 'short_code' AS code, count(*) AS clicks
      FROM events
     WHERE event_type = 'redirect'
       AND url_id BETWEEN 50000 AND 50199
     GROUP BY 1
"""


async def test_imported_links_redirect_and_each_click_is_one_event(
    system: Launcher, tmp_path: Path
):
    sample = sample_data.write(tmp_path)
    unknown = send(system.url("/Cd0001"))

    imported = shortwire(system, "import", *sample.options())
    again = shortwire(system, "import", *sample.options())

    assert unknown.status == 404
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.splitlines() == [
        "users: 40 rows, 40 new, 0 already there",
        "urls: 200 rows, 200 new, 0 already there",
        "events: 300 rows, 300 new, 0 already there",
    ]
    assert [line.split(", ", 1)[1] for line in again.stdout.splitlines()] == [
        "0 new, 40 already there",
        "0 new, 200 already there",
        "0 new, 300 already there",
    ]
    # The one code that was asked for too early is announced; the others were never cached.
    eventually(lambda: send(system.url("/Cd0001"), "HEAD").status == 302)
    followed: Counter[str] = Counter()
    for code, target in sample.targets.items():
        answer = send(system.url(f"/{code}"))
        assert (answer.status, answer.headers["Location"]) == (302, target)
        followed[code] += 1
    assert {send(system.url(f"/{code}")).status for code in sample.inactive} == {410}
    assert await _clicks(system, sum(followed.values())) == dict(followed)
    assert send(system.url("/events/50299")).json()["details"]["note"] == 'a "quoted", text'
    link = send(system.url("/urls/50001")).json()
    assert (link["created_at"], link["title"]) == ("2025-02-05T00:57:12", "Title, 1")
    ada = {"username": "ada-import", "email": "ada-import@example.com"}
    assert send(system.url("/users"), "POST", ada).json()["id"] == 50_040


async def _clicks(system: Launcher, expected: int) -> dict[str, int]:
    """Return the stored clicks of each code, once there are as many as expected."""
    connection = await asyncpg.connect(system.stack().postgres.url)
    try:
        with anyio.fail_after(DEADLINE_SECONDS):
            while True:
                rows = await connection.fetch(SELECT_CLICKS)
                found = {row["code"]: row["clicks"] for row in rows}
                if sum(found.values()) >= expected:
                    return found
                await anyio.sleep(0.05)
    finally:
        await connection.close()


def test_without_a_running_system_the_import_says_what_to_do(tmp_path: Path):
    sample = sample_data.write(tmp_path)

    done = subprocess.run(
        [sys.executable, "-m", "shortwire", "import", *sample.options()],
        env={"DATA_DIR": str(tmp_path / "none"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"shortwire: nothing runs on {tmp_path / 'none'}")
