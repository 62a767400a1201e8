"""compose.yaml as a stack on one engine in Swarm mode, scaled by telling the manager a number."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.deployment.installation import ROOT, Installation, engine_missing, run, until

START_SECONDS = 180.0


class Stack(Installation):
    """Deployed by `deploy`, removed with its data by `remove`."""

    def deploy(self) -> None:
        self.script("make-secrets.sh", str(self.folder / "secrets"))
        self.compose("build")
        config = self.compose("config", "--format", "json")
        stack = subprocess.run(
            [sys.executable, str(ROOT / "deploy" / "to_stack.py")],
            input=config,
            capture_output=True,
            text=True,
            check=True,
        )
        file = self.folder / "stack.json"
        file.write_text(stack.stdout, encoding="utf-8")
        run(["docker", "stack", "deploy", "--resolve-image=never", "-c", str(file), self.name])

    def running(self, service: str) -> list[str]:
        """Ids of the running containers of a service."""
        label = f"label=com.docker.swarm.service.name={self.name}_{service}"
        healthy = ["--filter", label, "--filter", "health=healthy"]
        return run(["docker", "ps", "--quiet", *healthy]).split()

    def inside(self, service: str, *command: str) -> str:
        return run(["docker", "exec", self.running(service)[0], *command])

    def tasks_are_gone(self) -> bool:
        label = f"label=com.docker.stack.namespace={self.name}"
        return run(["docker", "ps", "--all", "--quiet", "--filter", label]) == ""

    def remove(self) -> None:
        run(["docker", "stack", "rm", self.name])
        until(self.tasks_are_gone, "no container of the stack", 120)
        label = f"label=com.docker.stack.namespace={self.name}"
        volumes = run(["docker", "volume", "ls", "--quiet", "--filter", label]).split()
        run(["docker", "volume", "rm", "--force", *volumes])


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    if missing := engine_missing():
        pytest.skip(f"a container engine is needed: {missing}")
    ours = json.loads(run(["docker", "info", "--format", "{{json .Swarm}}"]))
    if ours["LocalNodeState"] == "inactive":
        run(["docker", "swarm", "init", "--advertise-addr", "127.0.0.1"])
    made = Stack(f"sw-{secrets.token_hex(3)}", tmp_path)
    try:
        made.deploy()
        yield made
    finally:
        made.remove()
        if ours["LocalNodeState"] == "inactive":
            run(["docker", "swarm", "leave", "--force"])


def test_a_stack_serves_and_is_scaled_by_its_manager(stack: Stack):
    expected = {"redirector": 2, "management": 2, "event-ingest": 1, "gateway": 1, "autoscaler": 1}
    until(
        lambda: all(len(stack.running(each)) >= count for each, count in expected.items()),
        "a healthy stack",
        START_SECONDS,
    )
    keys = ["python", "-m", "management.keys", "create", "--admin", "--name", "tests"]
    stack.key = stack.inside("management", *keys).strip()
    (code,) = stack.make_links(1, "stacked")
    until(lambda: stack.ask(f"/{code}").status == 302, "a link is followed")

    first = set(stack.running("redirector"))
    seen = json.loads(stack.inside("engine-gate", "python", "-c", ask("GET", "/replicas")))
    stack.inside("engine-gate", "python", "-c", ask("PUT", "/replicas/redirector/4"))
    until(lambda: len(stack.running("redirector")) == 4, "four redirectors", START_SECONDS)
    grown = set(stack.running("redirector"))
    stack.inside("engine-gate", "python", "-c", ask("PUT", "/replicas/redirector/2"))
    until(lambda: len(stack.running("redirector")) == 2, "two redirectors", START_SECONDS)

    assert first < grown  # a number is a number: nobody is made anew for it
    assert set(stack.running("redirector")) < grown
    assert [each["state"] for each in seen["redirector"]] == ["ready", "ready"]
    assert all(each["cpu_seconds"] > 0 for each in seen["redirector"])
    assert stack.ask(f"/{code}").status == 302


def ask(method: str, path: str) -> str:
    return (
        "import http.client as h;c = h.HTTPConnection('127.0.0.1', 8004, timeout=90);"
        f"c.request('{method}', '{path}');r = c.getresponse();"
        "assert r.status < 300, r.status;print(r.read().decode())"
    )
