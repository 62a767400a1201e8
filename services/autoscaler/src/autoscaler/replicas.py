"""What is known of a service's replicas, and which of them goes first."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from autoscaler.policy import Seen

State: TypeAlias = Literal["ready", "starting", "unhealthy", "stopped"]


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """One container. CPU time is since its start, read at `read_at` of a monotonic clock."""

    id: str
    number: int
    state: State
    cpus: float  # that it may use
    cpu_seconds: float | None = None
    read_at: float = 0.0


Replicas: TypeAlias = Mapping[str, Sequence[Replica]]  # by service


class ReplicasUnavailable(Exception):
    """The replicas can't be seen or changed now."""


class Engine(Protocol):
    """What runs containers. Every call blocks; each raises `ReplicasUnavailable`."""

    def ping(self) -> None:
        """Return if it answers."""

    def tidy(self) -> None:
        """Remove what changes that were cut short have left."""

    def replicas(self) -> Replicas:
        """Return what there is of each service."""

    def set_count(self, service: str, count: int) -> None:
        """Start or drain replicas until `count` run; doing it again changes nothing."""


def seen(replicas: Sequence[Replica], load: float | None) -> Seen:
    """Return what the policy looks at."""
    states = [replica.state for replica in replicas]
    return Seen(
        ready=states.count("ready"),
        starting=states.count("starting"),
        unhealthy=states.count("unhealthy"),
        load=load,
    )


def to_remove(running: Sequence[Replica], count: int) -> list[Replica]:
    """Return which go, so that `count` stay: what does not serve first, then the newest.

    The last one that serves stays, whatever `count` is.
    """
    order = sorted(running, key=lambda replica: (_RANK[replica.state], -replica.number))
    going = order[: max(0, len(order) - count)]
    ready = [replica for replica in order if replica.state == "ready"]
    if ready and set(ready) <= set(going):
        going.remove(ready[-1])
    return going


_RANK: Mapping[State, int] = {"stopped": 0, "unhealthy": 1, "starting": 2, "ready": 3}
