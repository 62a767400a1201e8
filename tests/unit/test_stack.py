"""What deploy/to_stack.py makes of a Compose project."""

from typing import Any

from deploy.to_stack import stack_of

REDIRECTOR: dict[str, Any] = {
    "image": "shortwire/redirector:1",
    "build": {"context": "."},
    "command": None,
    "depends_on": {"bus": {"condition": "service_healthy"}},
    "restart": "always",
    "security_opt": ["no-new-privileges:true"],
    "environment": {"JOURNAL_MAX_BYTES": 5},
    "networks": {"app": None, "stores": None},
    "read_only": True,
    "tmpfs": ["/tmp:size=16m,mode=1777"],
    "volumes": [
        {"type": "volume", "source": "journal", "target": "/journal", "volume": {}},
    ],
    "deploy": {
        "replicas": 2,
        "resources": {"limits": {"cpus": 0.75, "memory": "402653184", "pids": 128}},
    },
}
GATEWAY: dict[str, Any] = {
    "image": "shortwire/gateway:1",
    "ports": [{"mode": "ingress", "target": 8080, "published": "80", "host_ip": "127.0.0.1"}],
    "networks": {"edge": None},
}
JOB: dict[str, Any] = {"image": "shortwire/management:1", "network_mode": "none"}
PROJECT: dict[str, Any] = {
    "name": "shortwire",
    "services": {"redirector": REDIRECTOR, "gateway": GATEWAY, "migrate": JOB},
    "networks": {"app": {"name": "shortwire_app", "internal": True}, "edge": {}},
    "volumes": {"journal": {"name": "shortwire_journal"}},
    "secrets": {"bus.acl": {"name": "shortwire_bus.acl", "file": "/secrets/bus.acl"}},
}


def test_a_service_keeps_what_a_swarm_understands():
    made = stack_of(PROJECT)["services"]["redirector"]

    assert set(made) == {"image", "environment", "networks", "read_only", "volumes", "deploy"}
    assert made["environment"] == {"JOURNAL_MAX_BYTES": "5"}
    assert made["networks"] == ["app", "stores"]
    assert made["volumes"] == [
        {"type": "volume", "source": "journal", "target": "/journal"},
        {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": 16 << 20, "mode": 0o1777}},
    ]
    assert made["deploy"]["replicas"] == 2
    assert made["deploy"]["endpoint_mode"] == "dnsrr"
    assert made["deploy"]["resources"]["limits"] == {
        "cpus": "0.75",
        "memory": "402653184",
        "pids": 128,
    }
    assert made["deploy"]["update_config"] == {"order": "start-first"}


def test_what_has_a_port_stays_on_a_manager():
    made = stack_of(PROJECT)["services"]["gateway"]

    assert made["ports"] == [{"target": 8080, "published": 80, "mode": "host"}]
    assert made["deploy"]["placement"] == {"constraints": ["node.role == manager"]}
    assert made["deploy"]["update_config"] == {"order": "stop-first"}


def test_a_job_is_tried_until_it_works():
    made = stack_of(PROJECT)["services"]["migrate"]

    assert made["deploy"]["restart_policy"]["condition"] == "on-failure"
    assert "network_mode" not in made


def test_networks_span_hosts_and_names_are_the_stack_s():
    made = stack_of(PROJECT)

    assert made["networks"]["app"] == {"driver": "overlay", "internal": True}
    assert made["networks"]["edge"] == {"driver": "overlay", "internal": False}
    assert made["volumes"] == {"journal": {}}
    assert made["secrets"] == {"bus.acl": {"file": "/secrets/bus.acl"}}
