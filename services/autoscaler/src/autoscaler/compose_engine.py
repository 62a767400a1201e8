"""The replicas of a Compose project: copies of what Compose made, which it takes for its own.

A copy has its sibling's settings and labels, so that `docker compose ps`, `logs`, `stop`, `up` and
`down` see one more replica of the service. Nothing of it comes from who asked: a request names a
service and a count.
"""

import copy
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeAlias

import docker
import requests
from docker.errors import DockerException, NotFound

from autoscaler.replicas import Replica, Replicas, ReplicasUnavailable, State, to_remove

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10  # of a call, besides what a container may take to stop
STATS_AT_ONCE = 16  # an engine takes a second for each
STOP_SECONDS = 10  # the engine's own default
LEFTOVER_SECONDS = 60.0  # a copy that is so long not started never will be

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
ONE_OFF = "com.docker.compose.oneoff"
REPLACES = "com.docker.compose.replace"
COPY = "shortwire.autoscaler.copy"  # what Compose made has it not
# What the engine says of a container and a new one can't be told: it is each one's own.
OWN_SETTINGS = ("Hostname", "Image", "MacAddress", "NetworkDisabled", "OnBuild")

Container: TypeAlias = dict[str, Any]  # as the engine describes it


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn whatever the engine or the way to it does into `ReplicasUnavailable`."""
    try:
        yield
    except (DockerException, requests.RequestException, OSError) as error:
        raise ReplicasUnavailable(str(error)) from error


def connect(url: str) -> docker.DockerClient:
    """Return a client; raises `ReplicasUnavailable`."""
    with engine_errors():
        return docker.DockerClient(
            base_url=url, version="auto", timeout=TIMEOUT_SECONDS, max_pool_size=STATS_AT_ONCE
        )


class ComposeEngine:
    """The containers of one Compose project."""

    def __init__(self, client: docker.DockerClient, project: str, services: Sequence[str]) -> None:
        self._api = client.api
        self._project = project
        self._services = services

    def ping(self) -> None:
        """Return if the engine answers."""
        with engine_errors():
            self._api.ping()

    def tidy(self) -> None:
        """Remove copies that don't run, of services that do."""
        with engine_errors():
            for service in self._services:
                states = [listed["State"] for listed in self._containers(service)]
                if "running" in states:  # else an operator has stopped it, copies and all
                    self._remove_leftovers(service)

    def replicas(self) -> Replicas:
        """Return what there is of each service."""
        with engine_errors(), ThreadPoolExecutor(STATS_AT_ONCE) as pool:
            found = {service: self._containers(service) for service in self._services}
            every = [container for containers in found.values() for container in containers]
            described = dict(zip(map(_id, every), pool.map(self._describe, every), strict=True))
        return {
            service: [r for c in containers if (r := described[_id(c)]) is not None]
            for service, containers in found.items()
        }

    def set_count(self, service: str, count: int) -> None:
        """Start copies or drain replicas until `count` run."""
        with engine_errors():
            self._remove_leftovers(service)
            containers = [self._api.inspect_container(_id(c)) for c in self._containers(service)]
            running = [c for c in containers if _state(c) != "stopped"]
            for number in _free_numbers(containers, count - len(running)):
                self._add(running, service, number)
            going = {replica.id for replica in to_remove([_replica(c) for c in running], count)}
            for container in running:
                if _id(container) in going:
                    self._drain(container)

    def _containers(self, service: str) -> list[Container]:
        labels = [f"{PROJECT}={self._project}", f"{SERVICE}={service}", f"{ONE_OFF}=False"]
        found: list[Container] = self._api.containers(all=True, filters={"label": labels})
        return found

    def _describe(self, listed: Container) -> Replica | None:
        """Return a container's replica, or None where it went away meanwhile."""
        try:
            container = self._api.inspect_container(_id(listed))
            if _state(container) == "stopped":
                return _replica(container)
            stats = self._api.stats(_id(listed), stream=False)
        except NotFound:
            return None
        return _replica(container, stats)

    def _add(self, running: Sequence[Container], service: str, number: int) -> None:
        if not running:
            raise ReplicasUnavailable(f"no replica of {service} runs that could be copied")
        sibling = min(running, key=lambda c: (COPY in c["Config"]["Labels"], _number(c)))
        name = f"{self._project}-{service}-{number}"
        config = copy_of(sibling, name, number, image=self._image(sibling))
        first, *others = config.pop("Endpoints").items()
        config["NetworkingConfig"] = {"EndpointsConfig": dict([first])}
        made = self._api.create_container_from_config(config, name)["Id"]
        try:
            for network, endpoint in others:  # an older engine takes one at the creation
                self._api.connect_container_to_network(made, network, aliases=endpoint["Aliases"])
            self._api.start(made)
        except BaseException:
            self._api.remove_container(made, force=True, v=True)
            raise
        log.info("engine.added", extra={"scaled": service, "container": name})

    def _image(self, sibling: Container) -> str:
        """Return the sibling's image by its name, unless that names a newer one by now."""
        name: str = sibling["Config"]["Image"]
        identity: str = sibling["Image"]
        try:
            return name if self._api.inspect_image(name)["Id"] == identity else identity
        except NotFound:
            return identity

    def _drain(self, container: Container) -> None:
        """SIGTERM, wait as long as the container may take, remove it."""
        seconds = container["Config"].get("StopTimeout") or STOP_SECONDS
        self._api.stop(_id(container), timeout=seconds)
        self._api.remove_container(_id(container), force=True, v=True)
        log.info("engine.removed", extra={"container": container["Name"].lstrip("/")})

    def _remove_leftovers(self, service: str) -> None:
        """Remove copies of which the creation or the removal was cut short."""
        for listed in self._containers(service):
            age = time.time() - listed["Created"]
            is_idle = listed["State"] in ("exited", "dead") or (
                listed["State"] == "created" and age > LEFTOVER_SECONDS
            )
            if COPY in listed["Labels"] and is_idle:
                self._api.remove_container(_id(listed), force=True, v=True)
                log.warning("engine.leftover", extra={"container": _id(listed)[:12]})


def copy_of(sibling: Container, name: str, number: int, *, image: str) -> Container:
    """Return what the engine is told to make one more of `sibling`; networks as `Endpoints`."""
    config = copy.deepcopy(
        {key: value for key, value in sibling["Config"].items() if key not in OWN_SETTINGS}
    )
    labels = {key: value for key, value in config["Labels"].items() if key != REPLACES}
    return {
        **config,
        "Image": image,
        "Labels": {**labels, NUMBER: str(number), COPY: "true"},
        "HostConfig": copy.deepcopy(sibling["HostConfig"]),
        "Endpoints": {
            network: {"Aliases": [labels[SERVICE], name]}
            for network in sibling["NetworkSettings"]["Networks"]
        },
    }


def _id(container: Container) -> str:
    found: str = container["Id"]
    return found


def _number(container: Container) -> int:
    return int(container["Config"]["Labels"][NUMBER])


def _free_numbers(containers: Sequence[Container], count: int) -> list[int]:
    """Return the lowest numbers that no container has."""
    taken = {_number(container) for container in containers}
    candidates = range(1, len(taken) + count + 1)
    return [number for number in candidates if number not in taken][: max(0, count)]


def _state(container: Container) -> State:
    """Return what a container is to the policy; one that hangs or starts over does not serve."""
    state = container["State"]
    if state["Status"] in ("exited", "dead", "created", "removing"):
        return "stopped"
    if state["Status"] != "running":  # paused, restarting
        return "unhealthy"
    health: str = state.get("Health", {}).get("Status", "healthy")
    states: Mapping[str, State] = {"starting": "starting", "unhealthy": "unhealthy"}
    return states.get(health, "ready")


def _replica(container: Container, stats: Mapping[str, Any] | None = None) -> Replica:
    cpu = (stats or {}).get("cpu_stats", {})
    nanoseconds = cpu.get("cpu_usage", {}).get("total_usage")
    return Replica(
        id=_id(container),
        number=_number(container),
        state=_state(container),
        cpus=container["HostConfig"]["NanoCpus"] / 1e9 or cpu.get("online_cpus", 1),
        cpu_seconds=None if nanoseconds is None else nanoseconds / 1e9,
        read_at=time.monotonic(),
    )
