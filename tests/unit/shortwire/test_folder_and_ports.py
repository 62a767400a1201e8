import errno
import shutil
import socket
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from shortwire import data_folder, log_files, ports, stack_file
from shortwire.ports import Ports
from shortwire.processes import StartError, privilege_options
from shortwire.servers import LOOPBACK, remove_stale_pid_file
from shortwire.services import role_dsn
from shortwire.settings import Settings
from shortwire.stack_file import Part, Stack


def no_pause(_seconds: float) -> None:
    """Go on at once."""


def test_a_full_disk_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))

    with (
        pytest.raises(StartError, match=r"The disk that holds .* is full: make room"),
        data_folder.opened(tmp_path / "data", no_pause),
    ):
        pass

    assert list((tmp_path / "data").iterdir()) == []


def test_a_disk_that_fills_up_later_is_said_too(tmp_path: Path):
    error = OSError(errno.ENOSPC, "No space left on device")

    assert data_folder.sentence(tmp_path, error).startswith(f"The disk that holds {tmp_path} is")


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path):
    with data_folder.opened(tmp_path / "data", no_pause) as folder:
        first = folder.secrets()
    with data_folder.opened(tmp_path / "data", no_pause) as folder:
        second = folder.secrets()

    assert first == second
    mode = (tmp_path / "data" / "secrets.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_folder_has_one_run_at_a_time(tmp_path: Path):
    with (
        data_folder.opened(tmp_path, no_pause),
        pytest.raises(StartError, match="Shortwire already runs on"),
        data_folder.opened(tmp_path, no_pause),
    ):
        pass


def test_a_port_is_the_same_next_time_unless_it_was_taken(tmp_path: Path):
    file = tmp_path / "ports.json"
    first = Ports(file)
    kept, lost = first.take("kept"), first.take("lost")
    first.save()

    with socket.socket() as other:
        other.bind((LOOPBACK, lost))
        other.listen()
        second = Ports(file)

        assert second.take("kept") == kept
        assert second.take("lost") not in (kept, lost)
    assert ports.FIRST <= kept <= ports.LAST


def test_the_stack_is_replaced_whole_and_closed_to_others(tmp_path: Path):
    part = Part(pid=1, url="http://127.0.0.1:1")
    stack = Stack(
        gateway=part,
        redirectors=[part],
        webhooks=part,
        management=part,
        ingest=[part],
        postgres=part,
        cache=part,
        bus=Part(pid=None, url="redis://elsewhere"),
    )

    stack_file.write(tmp_path, stack)

    assert stack_file.read(tmp_path) == stack
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]
    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600


def test_no_stack_is_read_where_none_runs(tmp_path: Path):
    assert stack_file.read(tmp_path) is None


def test_a_large_log_keeps_its_older_part_beside(tmp_path: Path):
    small, large = tmp_path / "small.log", tmp_path / "large.log"
    small.write_text("12345")
    large.write_text("123456")

    log_files.trim([small, large], max_bytes=5)

    assert (small.read_text(), large.read_text()) == ("12345", "")
    assert (tmp_path / "large.log.1").read_text() == "123456"


@pytest.mark.parametrize("content", ["4194305\n", "no number\n"])
def test_a_note_of_a_server_that_is_gone_is_removed(tmp_path: Path, content: str):
    (tmp_path / "postmaster.pid").write_text(content)  # above the highest possible pid

    remove_stale_pid_file(tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("permitted", "kept"),
    [
        ("000001ffffffffff", "--ambient-caps=-all,+dac_read_search"),
        ("00000000a80425fb", "--ambient-caps=-all,+dac_override"),  # Docker's default set
        ("0000000000000004", "--ambient-caps=-all"),  # not without the right to keep it
        ("0000000000000000", "--ambient-caps=-all"),
    ],
)
def test_the_weakest_capability_that_passes_folders_is_kept(permitted: str, kept: str):
    assert privilege_options(f"Name:\tx\nCapPrm:\t{permitted}\n")[-1] == kept


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
    ],
)
def test_the_gateway_is_named_as_this_machine_reaches_it(bind: str, url: str):
    assert Settings(bind=bind).gateway_url() == url


def test_a_role_gets_the_owners_address_with_its_own_password():
    dsn = role_dsn("postgres://owner:p%40ss@db.example:5433/links?sslmode=require", "reader", "a/b")

    assert dsn == "postgres://reader:a%2Fb@db.example:5433/links?sslmode=require"
