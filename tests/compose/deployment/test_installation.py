"""What `docker compose up` of the real file leaves: something that works, and is closed."""

import http.client
import socket
import ssl
import stat

import pytest

from shortwire.servers import LOOPBACK
from tests.compose.deployment.installation import (
    IMAGE_PREFIX,
    SERVICES,
    Installation,
    run,
    until,
)

CONTROL = {"autoscaler", "engine-gate"}


def test_a_link_is_made_followed_and_its_click_counted(installation: Installation):
    (code,) = installation.make_links(1, "tour")

    redirect = installation.ask(f"/{code}")

    assert (redirect.status, redirect.headers["location"]) == (302, "https://example.com/tour/0")
    installation.await_clicks("tour", 1)


def test_without_a_key_nobody_changes_anything(installation: Installation):
    answer = installation.ask("/urls", headers={"X-API-Key": "sw_wrong"})

    assert answer.status == 401


def test_only_the_gateway_publishes_ports(installation: Installation):
    published = {
        container["Config"]["Labels"]["com.docker.compose.service"]: {
            port: bindings for port, bindings in ports.items() if bindings
        }
        for container in installation.inspect()
        if (ports := container["NetworkSettings"]["Ports"]) and any(ports.values())
    }

    assert set(published) == {"gateway"}
    assert set(published["gateway"]) == {"8080/tcp", "8443/tcp"}


def test_every_container_is_without_privileges(installation: Installation):
    containers = installation.inspect()

    assert {c["Config"]["Labels"]["com.docker.compose.service"] for c in containers} == {*SERVICES}
    for container in containers:
        host = container["HostConfig"]
        # The engine's socket belongs to root; who has it is root on the host in any case.
        has_engine = container["Config"]["Labels"]["com.docker.compose.service"] == "engine-gate"
        assert (int(container["Config"]["User"].split(":")[0]) == 0) is has_engine
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Privileged"] is False
        assert min(host["Memory"], host["NanoCpus"], host["PidsLimit"]) > 0
        assert host["RestartPolicy"]["Name"] == "always"
        assert host["LogConfig"]["Config"]["max-size"] == "10m"
        sockets = [mount for mount in container["Mounts"] if "docker.sock" in mount["Source"]]
        assert bool(sockets) is has_engine
        # What the engine was told is one thing, what the kernel grants another.
        status = run(["docker", "exec", container["Id"], "cat", "/proc/1/status"])
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(facts["CapPrm"], 16) == int(facts["CapBnd"], 16) == 0
        assert facts["NoNewPrivs"] == "1"
        assert ("0" in facts["Uid"].split()) is has_engine


def test_replicas_have_the_limits_of_their_size(installation: Installation):
    for container in installation.inspect("redirector", "management", "event-ingest"):
        assert container["HostConfig"]["NanoCpus"] == 750_000_000
        assert container["HostConfig"]["Memory"] == 384 << 20


def test_the_gateway_cannot_reach_the_stores(installation: Installation):
    networks = {
        container["Config"]["Labels"]["com.docker.compose.service"]: {
            name.removeprefix(f"{installation.name}_")
            for name in container["NetworkSettings"]["Networks"]
        }
        for container in installation.inspect()
    }

    assert networks["gateway"] == {"edge", "app"}
    assert networks["redirector"] == networks["management"] == {"app", "stores"}
    for store in ("postgres", "cache", "bus", "event-ingest"):
        assert networks[store] == {"stores"}
    assert networks["webhooks"] == {"edge", "stores"}  # it alone speaks to the outside
    assert networks["autoscaler"] == {"stores", "control"}
    assert networks["engine-gate"] == {"control"}  # and nobody else is on it
    assert not [s for s, on in networks.items() if "control" in on and s not in CONTROL]
    inner = [f"{installation.name}_{network}" for network in ("app", "stores", "control")]
    internal = run(["docker", "network", "inspect", "--format", "{{.Internal}}", *inner])
    assert internal.split() == ["true"] * 3


@pytest.mark.parametrize("store", ["cache", "bus"])
def test_redis_obeys_only_whom_it_knows(installation: Installation, store: str):
    def ask(*command: str) -> str:
        return installation.compose("exec", "-T", store, "redis-cli", *command)

    def redirector(*command: str) -> str:
        password = (installation.folder / "secrets/redis_redirector_password").read_text()
        return ask("--user", "redirector", "--no-auth-warning", "--pass", password, *command)

    assert ask("ping") == "PONG\n"
    assert ask("get", "x").startswith("NOPERM")
    assert redirector("get", "secret").startswith("NOPERM")
    assert redirector("flushall").startswith("NOPERM")
    assert redirector("config", "get", "*").startswith("NOPERM")
    assert "redis_version" in redirector("info", "server")


@pytest.mark.parametrize("service", ["redirector", "management", "event-ingest", "autoscaler"])
def test_an_image_holds_no_build_tools(installation: Installation, service: str):
    image = f"{IMAGE_PREFIX}/{service}:{installation.versions[0]}"
    words = "for tool in pip uv gcc cc make git curl wget; do command -v $tool; done; true"

    found = run(["docker", "run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", words])

    assert found == ""


def test_secrets_are_in_no_environment_and_closed_to_others(installation: Installation):
    folder = installation.folder / "secrets"
    secrets = [f.read_text().strip() for f in folder.glob("*_password")]

    environments = str([container["Config"]["Env"] for container in installation.inspect()])

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(secrets) == len(set(secrets)) == 12
    assert not [secret for secret in secrets if secret in environments]


def test_making_secrets_again_changes_none(installation: Installation):
    folder = installation.folder / "secrets"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    installation.script("make-secrets.sh", str(folder))

    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_up_again_changes_nothing(installation: Installation):
    def running() -> set[tuple[str, ...]]:
        return {
            (c["Name"], c["Image"], c["Id"], c["State"]["StartedAt"])
            for c in installation.inspect(*SERVICES)
        }

    before = running()
    installation.compose("up", "--build", "--detach", "--wait")

    assert running() == before


def test_tls_speaks_http2_and_promises_to_stay(installation: Installation):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it signed itself
    connection = http.client.HTTPSConnection(
        LOOPBACK, installation.tls_port, context=context, timeout=10
    )
    connection.request("GET", "/health")
    encrypted = connection.getresponse()
    connection.close()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((LOOPBACK, installation.tls_port), timeout=10) as plain,
        context.wrap_socket(plain) as secured,
    ):
        protocol, version = secured.selected_alpn_protocol(), secured.version()

    assert (encrypted.status, protocol, version) == (200, "h2", "TLSv1.3")
    assert encrypted.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in installation.ask("/health").headers


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_tls_of_yesterday_is_refused(installation: Installation, version: ssl.TLSVersion):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = version
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = version

    with (
        socket.create_connection((LOOPBACK, installation.tls_port), timeout=10) as plain,
        pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"),
    ):
        context.wrap_socket(plain)


@pytest.mark.parametrize("path", ["/status", "/metrics", "/.error/json"])
def test_inner_paths_are_not_public(installation: Installation, path: str):
    assert installation.ask(path).status == 404


def test_nginx_counts_on_the_inner_network(installation: Installation):
    words = (
        "from urllib.request import urlopen;"
        "print(urlopen('http://gateway:8081/status', timeout=5).read().decode())"
    )

    answer = installation.compose("exec", "-T", "management", "python", "-c", words)

    assert answer.startswith("Active connections: ")


def test_new_replicas_are_found_without_a_reload(installation: Installation):
    links = installation.make_links(4, "scaled")
    gateway = installation.inspect("gateway")[0]["State"]["StartedAt"]

    installation.settings["REDIRECTORS"] = "3"
    installation.compose("up", "-d", "--no-build", "--wait", "redirector")

    replicas = [
        {network["IPAddress"] for network in container["NetworkSettings"]["Networks"].values()}
        for container in installation.inspect("redirector")
    ]

    def served() -> set[str]:
        for code in links:
            installation.ask(f"/{code}")
        log = installation.compose("logs", "--no-log-prefix", "gateway")
        return {upstream.partition(":")[0] for upstream in log.split('"upstream":"')[1:]}

    try:
        assert len(replicas) == 3
        until(
            lambda: all(addresses & served() for addresses in replicas),
            "a request for each of three replicas",
        )
        assert installation.inspect("gateway")[0]["State"]["StartedAt"] == gateway
    finally:
        installation.settings.clear()
        installation.compose("up", "-d", "--no-build", "--wait", "redirector")
    assert len(installation.containers("redirector")) == 2
