"""One installation of compose.yaml, as an operator has it: own name, own ports, own secrets."""

import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from shortwire.servers import LOOPBACK, free_port

ROOT = Path(__file__).parents[3]
COMMAND_SECONDS = 420.0  # an image is built
BUILT = ("gateway", "redirector", "management", "event-ingest", "autoscaler")
SERVICES = (*BUILT, "webhooks", "engine-gate", "postgres", "cache", "bus")
IMAGE_PREFIX = "shortwire-test"


class Answer(msgspec.Struct, frozen=True):
    """What the gateway said; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def run(command: list[str], environ: Mapping[str, str] | None = None) -> str:
    """What a command prints; raises `AssertionError` with its complaint."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def engine_missing() -> str | None:
    """Why no engine can be used here, or None."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    try:
        run(["docker", "version"])
        run(["docker", "compose", "version"])
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return " ".join(str(error).split())
    return None


def until(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.2)


class Installation:
    """Started by `up`, removed with its data by `remove`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        self.versions = [f"{name}-1"]
        self.key = ""
        self.settings: dict[str, str] = {}  # settings, where not compose.yaml's

    @property
    def environ(self) -> dict[str, str]:
        return {
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_DISABLE_ENV_FILE": "1",  # the operator's own settings are not ours
            "SECRETS_DIR": str(self.folder / "secrets"),
            "IMAGE_PREFIX": IMAGE_PREFIX,
            "VERSION": self.versions[-1],
            "GATEWAY_VERSION": self.versions[0],
            "HTTP_PORT": f"{LOOPBACK}:{self.port}",
            "HTTPS_PORT": f"{LOOPBACK}:{self.tls_port}",
            "PUBLIC_URL": f"http://{LOOPBACK}:{self.port}",
            "REDIRECT_RATE": "10000",
            "API_RATE": "1000",
            "WRITE_RATE": "1000",
            "AUTOSCALER_DRY_RUN": "true",  # tests/compose/autoscaling is about what it does
            **self.settings,
        }

    def compose(self, *arguments: str) -> str:
        return run(["docker", "compose", *arguments], self.environ)

    def script(self, name: str, *arguments: str) -> str:
        return run([str(ROOT / "deploy" / name), *arguments], self.environ)

    def up(self) -> None:
        self.script("make-secrets.sh", str(self.folder / "secrets"))
        self.compose("up", "--build", "--detach", "--wait")

    def make_key(self) -> None:
        arguments = ["-m", "management.keys", "create", "--admin", "--name", "tests"]
        self.key = self.compose("exec", "-T", "management", "python", *arguments).strip()

    def remove(self) -> None:
        self.compose("down", "--volumes", "--timeout", "5")
        images = [f"{IMAGE_PREFIX}/{service}" for service in BUILT]
        tags = [f"{image}:{version}" for image in images for version in self.versions]
        subprocess.run(
            ["docker", "image", "rm", *tags],
            check=False,
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )

    def containers(self, *services: str) -> list[str]:
        """Ids of the running containers of these services, of all without any."""
        return self.compose("ps", "--quiet", *services).split()

    def inspect(self, *services: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            run(["docker", "inspect", *self.containers(*services)])
        )
        return found

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request through the gateway, with the admin's key."""
        sent = {"X-API-Key": self.key, "Content-Type": "application/json", **(headers or {})}
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=20)
        try:
            connection.request(method, path, json.dumps(body) if body else None, sent)
            reply = connection.getresponse()
            names = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, names, reply.read())
        finally:
            connection.close()

    def make_user(self, name: str) -> int:
        user = self.ask("/users", "POST", {"username": name, "email": f"{name}@example.com"})
        assert user.status == 201, user
        return int(user.json()["id"])

    def make_links(self, count: int, name: str) -> dict[str, str]:
        """New links of a user of their own: each code's target."""
        user_id = self.make_user(name)
        links = {f"{name}-{n}": f"https://example.com/{name}/{n}" for n in range(count)}
        for code, target in links.items():
            body = {"user_id": user_id, "original_url": target, "short_code": code}
            assert self.ask("/urls", "POST", body).status == 201
        return links

    def sql(self, query: str) -> str:
        """A query's rows, as the owner of the database."""
        shell = ["psql", "--username=shortwire", "--no-psqlrc", "--tuples-only", "--no-align"]
        return self.compose("exec", "-T", "postgres", *shell, "--command", query).strip()

    def await_ready(self) -> None:
        """Until every management service is: the gateway asks one after the other."""
        until(
            lambda: all(self.ask("/health/ready").status == 200 for _ in range(10)),
            "the system ready again",
        )

    def clicks(self, name: str) -> int:
        """How many clicks on links of `make_links(…, name)` are stored."""
        where = f"event_type = 'redirect' AND details->>'short_code' LIKE '{name}-%'"
        return int(self.sql(f"SELECT count(*) FROM events WHERE {where}"))

    def complaints(self) -> str:
        """What the gateway logged of visits that failed: who was asked, and with what result."""
        lines = self.compose("logs", "--no-log-prefix", "gateway").splitlines()
        return "\n".join(line for line in lines if '"status":5' in line)

    def await_clicks(self, name: str, count: int, seconds: float = 60.0) -> None:
        """Until exactly `count` are stored, and stay so: a double one would come late."""
        until(lambda: self.clicks(name) >= count, f"{count} clicks on {name}", seconds)
        time.sleep(2.0)
        assert self.clicks(name) == count
