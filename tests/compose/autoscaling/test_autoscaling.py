"""Load that comes and goes on real containers: replicas follow, and no request fails."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from autoscaler.policy import Policy
from shortwire.servers import LOOPBACK
from tests.compose.autoscaling.scaled import Scaled
from tests.compose.deployment.installation import run, until
from tests.compose.deployment.visitors import crowd

LOAD_SECONDS = 60
UP_LOAD = Policy(service="redirector", minimum=2, maximum=5).up_load
GROWTH_SECONDS = 90.0
SHRINK_SECONDS = 240.0  # a look above 30 % begins the count anew


@contextmanager
def wrk(scaled: Scaled, code: str) -> Iterator[subprocess.Popen[str]]:
    """Follow one link as often as it goes, for LOAD_SECONDS."""
    if shutil.which("wrk") is None:
        pytest.skip("wrk is needed to make the load (Debian, Ubuntu: apt install wrk)")
    url = f"http://{LOOPBACK}:{scaled.port}/{code}"
    command = ["wrk", "-t2", "-c32", f"-d{LOAD_SECONDS}s", "--timeout", "10s", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.wait(LOAD_SECONDS + 30)


def await_growth(scaled: Scaled, load: subprocess.Popen[str]) -> None:
    """Until there is a third redirector; skips where the load never became one."""
    greatest = 0.0
    while scaled.count("redirector") == 2:
        loads = scaled.metrics("shortwire_autoscaler_load_ratio")
        greatest = max(greatest, loads['{service="redirector",signal="cpu"}'])
        if load.poll() is not None and greatest < UP_LOAD:
            pytest.skip(f"this machine is too busy to load two redirectors: {greatest:.0%}")
        assert load.poll() is None, f"two redirectors at {greatest:.0%}"


def test_redirectors_grow_under_load_and_shrink_after_it_and_no_request_fails(scaled: Scaled):
    links = scaled.make_links(5, "grown")
    largest = 2
    # More, or faster ones, would keep up the load themselves.
    with crowd(scaled, links, visitors=1, pause=0.05) as visitors:
        with wrk(scaled, "grown-0") as load:
            await_growth(scaled, load)
            while load.poll() is None:
                largest = max(largest, scaled.count("redirector"))
                time.sleep(0.5)
            assert load.stdout is not None
            said = load.stdout.read()
        until(lambda: scaled.count("redirector") == 2, "two redirectors", SHRINK_SECONDS)

    failed = "Non-2xx" in said or "Socket errors" in said
    print(f"redirectors: 2 to {largest} to 2; visitors: {dict(visitors.redirects)}\n{said}")
    assert largest > 2
    assert not failed, said
    assert set(visitors.redirects) == {"302"}, scaled.complaints()
    assert scaled.inspect("gateway")[0]["RestartCount"] == 0
    grown = scaled.metrics("shortwire_autoscaler_decisions_total")
    assert grown['{action="up",reason="high_load",service="redirector"}'] >= 1
    assert grown['{action="down",reason="low_load",service="redirector"}'] >= 1
    requests = re.search(r"(\d+) requests in", said)
    assert requests is not None
    followed = int(requests[1]) + visitors.redirects["302"]
    # wrk drops what it has under way at its end: answered, and not counted by it.
    until(lambda: followed <= scaled.clicks("grown") <= followed + 32, f"{followed} clicks", 120)


def test_what_was_added_is_compose_s_own(scaled: Scaled):
    scaled.compose("stop", "autoscaler")  # it would take away again what is not needed
    try:
        ask(scaled, "redirector", 4)
        first, *_, last = sorted(scaled.inspect("redirector"), key=lambda c: str(c["Name"]))

        until(lambda: healthy(scaled) == 4, "four healthy redirectors")
        before = [(c["Id"], c["State"]["StartedAt"]) for c in scaled.inspect("redirector")]
        scaled.settings["REDIRECTORS"] = "4"
        scaled.compose("up", "-d", "--no-build", "redirector")
        after = [(c["Id"], c["State"]["StartedAt"]) for c in scaled.inspect("redirector")]
        listed = scaled.compose("ps", "--format", "{{.Name}}", "redirector").split()
    finally:
        scaled.settings.clear()
        ask(scaled, "redirector", 2)
        scaled.compose("start", "autoscaler")

    assert sorted(after) == sorted(before)
    assert sorted(listed) == [f"{scaled.name}-redirector-{number}" for number in range(1, 5)]
    for key in ("HostConfig", "Image", "Path", "Args", "RestartCount"):
        assert unordered(first[key]) == unordered(last[key]), key
    own = {"Hostname", "Labels"}
    assert {k: v for k, v in first["Config"].items() if k not in own} == {
        k: v for k, v in last["Config"].items() if k not in own
    }
    number = "com.docker.compose.container-number"
    labels = dict(last["Config"]["Labels"])
    assert labels.pop("shortwire.autoscaler.copy") == "true"
    assert labels.pop(number) == "4"
    assert labels == {k: v for k, v in first["Config"]["Labels"].items() if k != number}
    assert set(first["NetworkSettings"]["Networks"]) == set(last["NetworkSettings"]["Networks"])
    for network in last["NetworkSettings"]["Networks"].values():
        assert "redirector" in network["Aliases"]


def test_up_changes_nothing_after_scaling(scaled: Scaled):
    until(lambda: scaled.count("event-ingest") == 1, "one event-ingest", SHRINK_SECONDS)
    (hanging,) = scaled.containers("event-ingest")
    run(["docker", "pause", hanging])  # as good as gone: what comes now waits
    try:
        flood(scaled)
        until(lambda: scaled.count("event-ingest") > 1, "a second event-ingest", GROWTH_SECONDS)
        until(lambda: lag(scaled) == 0, "what waited is stored", SHRINK_SECONDS)
    finally:
        run(["docker", "unpause", hanging])
    until(lambda: healthy(scaled, "event-ingest") == 2, "the one that hung healthy again")
    before = {c["Id"] for c in scaled.inspect("event-ingest")}

    scaled.script("up.sh", "--no-build")

    assert before <= {c["Id"] for c in scaled.inspect("event-ingest")}
    until(lambda: scaled.count("event-ingest") == 1, "one event-ingest", SHRINK_SECONDS)


def test_a_replica_that_is_gone_is_replaced_and_the_leftover_is_removed_by_down(scaled: Scaled):
    victim = scaled.containers("management")[0]
    run(["docker", "rm", "--force", victim])

    until(lambda: scaled.count("management") == 2, "two managements")

    assert victim not in scaled.all_of_project()


def test_a_redirector_that_is_gone_is_replaced_and_no_visit_fails(scaled: Scaled):
    links = scaled.make_links(5, "replaced")
    victim = scaled.containers("redirector")[0]
    with crowd(scaled, links) as visitors:
        run(["docker", "rm", "--force", victim])
        until(lambda: healthy(scaled) == 2, "two healthy redirectors")

    assert set(visitors.redirects) == {"302"}, scaled.complaints()
    scaled.await_clicks("replaced", visitors.redirects["302"])


def test_what_a_change_that_was_cut_short_has_left_is_removed(scaled: Scaled):
    scaled.compose("stop", "autoscaler")
    try:
        ask(scaled, "redirector", 3)
        left = f"{scaled.name}-redirector-3"
        run(["docker", "stop", left])  # as far as a killed gate came

        scaled.compose("restart", "engine-gate")

        until(lambda: left not in names(scaled), "the leftover removed")
        assert scaled.count("redirector") == 2
    finally:
        scaled.compose("start", "autoscaler")


def names(scaled: Scaled) -> list[str]:
    return scaled.compose("ps", "--all", "--format", "{{.Name}}").split()


def test_of_two_autoscalers_one_leads(scaled: Scaled):
    scaled.settings["AUTOSCALERS"] = "2"
    scaled.compose("up", "-d", "--no-build", "--wait", "autoscaler")

    def leaders() -> list[str]:
        words = (
            "from urllib.request import urlopen;"
            "print(urlopen('http://127.0.0.1:9103/metrics', timeout=5).read().decode())"
        )
        texts = [
            scaled.compose("exec", "-T", "--index", index, "autoscaler", "python", "-c", words)
            for index in ("1", "2")
        ]
        return [text.partition("\nshortwire_autoscaler_leader ")[2][:3] for text in texts]

    def one_leads() -> bool:
        with suppress(AssertionError):  # one that starts does not answer yet
            return sorted(leaders()) == ["0.0", "1.0"]
        return False

    try:
        until(one_leads, "one leader")
        first = str(leaders().index("1.0") + 1)
        run(["docker", "kill", f"{scaled.name}-autoscaler-{first}"])
        run(["docker", "start", f"{scaled.name}-autoscaler-{first}"])
        until(one_leads, "one leader again")
    finally:
        scaled.settings.clear()
        scaled.compose("up", "-d", "--no-build", "--wait", "autoscaler")


def test_down_leaves_nothing(scaled: Scaled):
    ask(scaled, "redirector", 3)

    scaled.compose("down", "--volumes", "--timeout", "5")

    assert scaled.all_of_project() == []
    label = f"label=com.docker.compose.project={scaled.name}"
    assert run(["docker", "network", "ls", "--quiet", "--filter", label]) == ""


def ask(scaled: Scaled, service: str, count: int) -> None:
    """Ask the gate for a number, as the autoscaler does."""
    words = (
        "import http.client as h;c = h.HTTPConnection('127.0.0.1', 8004, timeout=90);"
        f"c.request('PUT', '/replicas/{service}/{count}');r = c.getresponse();"
        "assert r.status == 204, r.read()"
    )
    scaled.compose("exec", "-T", "engine-gate", "python", "-c", words)


def healthy(scaled: Scaled, service: str = "redirector") -> int:
    states = [c["State"]["Health"]["Status"] for c in scaled.inspect(service)]
    return states.count("healthy")


def flood(scaled: Scaled) -> None:
    """Put more frames on the bus than one consumer may be behind; none holds a click."""
    operator(scaled, "EVAL", FLOOD, "1", "clicks")


FLOOD = "for i = 1, 3000 do redis.call('XADD', KEYS[1], '*', 'v', '1', 'n', '0', 'batch', '[]') end"


def lag(scaled: Scaled) -> int:
    """Entries that nobody was given; what the hanging one was given stays its own for a minute."""
    words = operator(scaled, "XINFO", "GROUPS", "clicks").split()
    return int(words[words.index("lag") + 1])


def operator(scaled: Scaled, *command: str) -> str:
    password = (scaled.folder / "secrets/redis_operator_password").read_text()
    login = ["--user", "operator", "--no-auth-warning", "--pass", password]
    return scaled.compose("exec", "-T", "bus", "redis-cli", *login, *command)


def unordered(value: object) -> object:
    """The same for lists whose order means nothing: the engine keeps mounts as they come."""
    if isinstance(value, dict):
        return {key: unordered(each) for key, each in value.items()}
    return sorted(map(str, value)) if isinstance(value, list) else value
