import shutil

import pytest

from bench import wrk
from bench.wrk import Traffic
from shortwire.processes import StartError

REPORT = """Running 4s test @ http://127.0.0.1:18081/abc
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   331.90us   66.43us   3.29ms   79.62%
    Req/Sec    96.53k     4.42k  103.52k    80.49%
  393673 requests in 4.10s, 81.85MB read
Requests/sec:  96016.24
Transfer/sec:     19.96MB
"""


def test_a_report_gives_requests_and_seconds():
    load = wrk.parse(REPORT)

    assert (load.requests, load.seconds, load.refused) == (393_673, 4.1, 0)
    assert load.rate == pytest.approx(96_017.8, abs=0.1)


def test_what_went_wrong_is_counted():
    trouble = (
        "  Socket errors: connect 0, read 3, write 1, timeout 2\n  Non-2xx or 3xx responses: 10\n"
    )

    load = wrk.parse(REPORT.replace("Requests/sec", trouble + "Requests/sec"))

    assert load.refused == 16


def test_a_report_in_milliseconds_or_minutes_is_read():
    assert wrk.parse("  10 requests in 500.00ms, 1MB read").seconds == 0.5
    assert wrk.parse("  10 requests in 2.00m, 1MB read").seconds == 120


def test_no_report_is_an_error():
    with pytest.raises(ValueError, match="no count"):
        wrk.parse("unable to connect")


def test_without_wrk_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)

    with pytest.raises(StartError, match="apt install wrk"):
        wrk.find()


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_numbered_links_are_asked_for_by_the_script():
    argv = wrk.command(
        "http://127.0.0.1:1", Traffic(links=10, order="zipf"), seconds=0.3, connections=2
    )

    assert argv[-4:] == ["--", "zipf", "10", "0"]
    assert "--script" in argv
    assert "1s" in argv
