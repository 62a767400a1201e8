"""Turn compose.yaml into what `docker stack deploy` takes: standard input to standard output.

    docker compose config --format json | python3 deploy/to_stack.py |
        docker stack deploy --compose-file - shortwire

The stack's file format is an older one, and a Swarm has no order of starting: services wait for
each other, and a job is tried until it works. JSON is YAML, and Python needs no package for it.
"""

import json
import sys
from typing import Any

# What a stack's file has no word for, or what a Swarm does in its own way.
UNKNOWN = ("build", "depends_on", "restart", "network_mode", "security_opt", "shm_size", "tmpfs")
JOBS = ("migrate", "cert-gen")
# What has its data on a node, publishes a port, or needs a manager's engine.
AT_HOME = ("postgres", "bus", "cache", "gateway", "cert-gen", "autoscaler", "engine-gate")
RETRY_DELAY = "5s"

Service = dict[str, Any]


def stack_of(project: dict[str, Any]) -> dict[str, Any]:
    """Return the stack's file for a resolved Compose project."""
    return {
        "version": "3.13",
        "services": {name: service_of(name, each) for name, each in project["services"].items()},
        "networks": {
            name: {"driver": "overlay", "internal": each.get("internal", False)}
            for name, each in project["networks"].items()
        },
        "volumes": {name: {} for name in project["volumes"]},
        "secrets": {name: {"file": each["file"]} for name, each in project["secrets"].items()},
    }


def service_of(name: str, service: Service) -> Service:
    """Return one service as a stack has it."""
    kept = {key: value for key, value in service.items() if key not in UNKNOWN and value}
    kept["environment"] = {key: str(value) for key, value in service.get("environment", {}).items()}
    kept["networks"] = [*service.get("networks", {})]
    kept["volumes"] = [
        *(volume_of(each) for each in service.get("volumes", ())),
        *(memory_of(each) for each in service.get("tmpfs", ())),
    ]
    kept["ports"] = [
        {
            "target": port["target"],
            "published": int(port["published"]),
            # An address can't be given; the visitor's is only seen without the routing mesh.
            "mode": "host",
        }
        for port in service.get("ports", ())
    ]
    kept["deploy"] = deployment_of(name, service.get("deploy", {}))
    return {key: value for key, value in kept.items() if value or key == "deploy"}


def deployment_of(name: str, deploy: Service) -> Service:
    """Return how a service is placed, limited and started over."""
    limits = deploy.get("resources", {}).get("limits", {})
    made: Service = {
        # No virtual address: the gateway wants to know each replica, and the stores are one each.
        "endpoint_mode": "dnsrr",
        "replicas": int(deploy.get("replicas", 1)),
        "restart_policy": {
            "condition": "on-failure" if name in JOBS else "any",
            "delay": RETRY_DELAY,
        },
        # Its ports and its data are one's own: the old one goes first.
        "update_config": {"order": "stop-first" if name in AT_HOME else "start-first"},
    }
    if limits:
        made["resources"] = {
            "limits": {key: value if key == "pids" else str(value) for key, value in limits.items()}
        }
    if name in AT_HOME:
        made["placement"] = {"constraints": ["node.role == manager"]}
    return made


def volume_of(volume: Service) -> Service:
    """Return a volume or a folder, as it is mounted."""
    return {key: volume[key] for key in ("type", "source", "target", "read_only") if key in volume}


def memory_of(tmpfs: str) -> Service:
    """Return a folder in memory; a Swarm can't give it to a user, so it is everybody's."""
    target, _, options = tmpfs.partition(":")
    size = dict(option.partition("=")[::2] for option in options.split(","))["size"]
    return {
        "type": "tmpfs",
        "target": target,
        "tmpfs": {"size": int(size.rstrip("m")) * 1024 * 1024, "mode": 0o1777},
    }


if __name__ == "__main__":
    json.dump(stack_of(json.load(sys.stdin)), sys.stdout, indent=2)
