"""The backup and restore of `make run` that docs/operations.md shows, line by line."""

import re
import signal
import subprocess
from pathlib import Path

from tests.end_to_end.launcher import Launcher, eventually, send

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("\n## Backup\n")[2].partition("\n# ")[0]


def shell(script: str, data: Path) -> None:
    command = ["sh", "-euc", script]
    environ = {"DATA_DIR": str(data), "PATH": "/usr/bin:/bin"}
    subprocess.run(command, cwd=ROOT, env=environ, check=True, timeout=60)


def test_a_backup_that_is_not_there_is_said():
    command = ["sh", "deploy/restore.sh", "backups/none.dump"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (1, "There is no backup backups/none.dump.\n")


def test_what_was_backed_up_is_restored_into_an_empty_system(tmp_path: Path):
    dump = str(tmp_path / "shortwire.dump")
    backup, restore = (
        block.replace("shortwire.dump", dump)
        for block in re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
    )
    definitions = backup.partition('"$PG/pg_dump"')[0]
    link = {"user_id": 1, "original_url": "https://example.com/", "short_code": "saved"}
    full = Launcher(tmp_path / "full")
    empty = Launcher(tmp_path / "empty")
    try:
        full.wait_ready()
        send(full.url("/users"), "POST", {"username": "ada", "email": "ada@example.com"})
        assert send(full.url("/urls"), "POST", link).status == 201
        shell(backup, full.data)

        empty.wait_ready()
        assert send(empty.url("/saved")).status == 404, "it remembers that there is none"
        shell(definitions + restore, empty.data)
        empty.end(signal.SIGTERM)
        empty = Launcher(tmp_path / "empty").wait_ready()

        eventually(lambda: send(empty.url("/saved")).status == 302)
        assert send(empty.url("/users")).json()[0]["username"] == "ada"
    finally:
        for system in (full, empty):
            system.end(signal.SIGTERM)
