"""What compose.observability.yaml lays over compose.yaml is as closed as what it watches."""

import re
from typing import Any

import msgspec
import pytest

from tests.observed import PROMETHEUS, ROOT

WATCHED = {"redirector", "management", "webhooks", "event-ingest", "autoscaler"}
STACK: dict[str, Any] = msgspec.yaml.decode((ROOT / "compose.observability.yaml").read_bytes())
BASE: dict[str, Any] = msgspec.yaml.decode((ROOT / "compose.yaml").read_bytes())
ADDED = sorted(set(STACK["services"]) - WATCHED)


@pytest.mark.parametrize("name", ADDED)
def test_a_watcher_has_no_privilege_a_limit_and_a_pinned_image(name: str):
    service = STACK["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service
    assert re.search(r":v?\d+(\.\d+)*(-alpine)?\Z", service["image"])
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert service["user"] != "0:0" or name == "alloy", "the engine's log files are root's"
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "its page asks nobody for a name, or for one only"
    for volume in service.get("volumes", ()):
        source, _, rest = volume.partition(":")
        assert "docker.sock" not in volume
        assert source in STACK["volumes"] or rest.endswith(":ro")


def test_only_exporters_of_stores_reach_the_stores():
    reach = {name for name in ADDED if "stores" in STACK["services"][name]["networks"]}

    assert reach == {"monitor-role", "postgres-exporter", "cache-exporter", "bus-exporter"}
    assert STACK["networks"]["telemetry"] == {"internal": True}


def test_prometheus_asks_only_for_services_that_are_there():
    config = msgspec.yaml.decode((PROMETHEUS / "prometheus.yml").read_bytes())
    known = {*STACK["services"], *BASE["services"], "localhost"}
    replicas: set[str] = set()
    fixed: set[str] = set()
    for job in config["scrape_configs"]:
        for discovery in job.get("dns_sd_configs", ()):
            replicas.update(discovery["names"])
        for group in job.get("static_configs", ()):
            fixed.update(target.partition(":")[0] for target in group["targets"])

    assert replicas == WATCHED
    assert fixed <= known


def test_data_is_kept_for_72_hours():
    command = STACK["services"]["prometheus"]["command"]
    loki = msgspec.yaml.decode((ROOT / "observability/loki/loki.yaml").read_bytes())

    assert "--storage.tsdb.retention.time=72h" in command
    assert loki["limits_config"]["retention_period"] == "72h"
    assert loki["compactor"]["retention_enabled"] is True


def test_grafana_lets_nobody_in_without_a_password():
    environment = STACK["services"]["grafana"]["environment"]

    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment


@pytest.mark.parametrize(
    "file",
    sorted((ROOT / "observability").glob("**/*.y*ml")),
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_configuration_is_yaml(file: Any):
    assert msgspec.yaml.decode(file.read_bytes())
