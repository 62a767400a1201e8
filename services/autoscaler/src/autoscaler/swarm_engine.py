"""The replicas of a Swarm stack: the manager is told a count and does the rest.

CPU time is known of tasks on this node only; the gateway spreads requests evenly, so their
average stands for all.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import docker
from docker.errors import NotFound

from autoscaler.compose_engine import STATS_AT_ONCE, engine_errors
from autoscaler.replicas import Replica, Replicas, State

log = logging.getLogger(__name__)

STACK = "com.docker.stack.namespace"
STARTING = frozenset(
    {"new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "allocated"}
)

Task: TypeAlias = dict[str, Any]  # as the engine describes it
Specification: TypeAlias = dict[str, Any]
ARGUMENTS = {
    "name": "Name",
    "labels": "Labels",
    "mode": "Mode",
    "task_template": "TaskTemplate",
    "update_config": "UpdateConfig",
    "rollback_config": "RollbackConfig",
    "endpoint_spec": "EndpointSpec",
}


class SwarmEngine:
    """The services of one stack."""

    def __init__(self, client: docker.DockerClient, stack: str, services: Sequence[str]) -> None:
        self._client = client
        self._stack = stack
        self._services = services

    def ping(self) -> None:
        """Return if the engine answers."""
        with engine_errors():
            self._client.api.ping()

    def tidy(self) -> None:
        """Leave that to the manager."""

    def replicas(self) -> Replicas:
        """Return what there is of each service, as many as are wanted of it at least."""
        with engine_errors(), ThreadPoolExecutor(STATS_AT_ONCE) as pool:
            local = {node_id} if (node_id := self._node_id()) else set()
            found = {service: self._tasks(service) for service in self._services}
            return {
                service: list(pool.map(lambda task: self._describe(task, local), tasks))
                for service, tasks in found.items()
            }

    def set_count(self, service: str, count: int) -> None:
        """Tell the manager; it starts tasks, or sends SIGTERM and waits."""
        with engine_errors():
            # Without the engine's defaults: spelt out in the new specification and not in the old
            # one, they would be a change, and every task be made anew.
            found = self._client.api.inspect_service(self._name(service), insert_defaults=False)
            self._client.api.update_service(
                found["ID"],
                found["Version"]["Index"],
                **_arguments({**found["Spec"], "Mode": {"Replicated": {"Replicas": count}}}),
                fetch_current_spec=False,
            )
        log.info("engine.scaled", extra={"scaled": service, "count": count})

    def _name(self, service: str) -> str:
        return f"{self._stack}_{service}"

    def _node_id(self) -> str | None:
        node_id: str | None = self._client.api.info()["Swarm"].get("NodeID")
        return node_id

    def _tasks(self, service: str) -> list[Task]:
        filters = {"service": self._name(service), "desired-state": "running"}
        try:
            tasks: list[Task] = self._client.api.tasks(filters=filters)
        except NotFound:
            return []
        return tasks

    def _describe(self, task: Task, local: set[str]) -> Replica:
        state: str = task["Status"]["State"]
        container: str | None = task["Status"].get("ContainerStatus", {}).get("ContainerID")
        stats: dict[str, Any] = {}
        if state == "running" and container and task.get("NodeID") in local:
            try:
                stats = self._client.api.stats(container, stream=False)
            except NotFound:
                state = "starting"  # it is being replaced
        cpu = stats.get("cpu_stats", {})
        nanoseconds = cpu.get("cpu_usage", {}).get("total_usage")
        limits = task["Spec"].get("Resources", {}).get("Limits", {})
        return Replica(
            id=task["ID"],
            number=task.get("Slot", 0),
            state=_state(state),
            cpus=limits.get("NanoCPUs", 0) / 1e9 or cpu.get("online_cpus", 1),
            cpu_seconds=None if nanoseconds is None else nanoseconds / 1e9,
            read_at=time.monotonic(),
        )


def _arguments(specification: Specification) -> dict[str, Any]:
    """Return a service's specification as the client takes it."""
    return {argument: specification.get(key) for argument, key in ARGUMENTS.items()}


def _state(state: str) -> State:
    """Return what a task is to the policy: Swarm calls one running when its check passes."""
    if state == "running":
        return "ready"
    return "starting" if state in STARTING else "unhealthy"
