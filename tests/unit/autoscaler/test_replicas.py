from hypothesis import given
from hypothesis import strategies as st

from autoscaler import replicas
from autoscaler.compose_engine import NUMBER, copy_of
from autoscaler.replicas import Replica, State, to_remove

states = st.sampled_from(["ready", "starting", "unhealthy"])


def running(*states: State) -> list[Replica]:
    return [
        Replica(id=str(number), number=number, state=state, cpus=1.0)
        for number, state in enumerate(states, start=1)
    ]


def test_what_does_not_serve_goes_first_and_then_the_newest():
    going = to_remove(running("ready", "unhealthy", "ready", "starting"), 1)

    assert [replica.number for replica in going] == [2, 4, 3]


@given(st.lists(states, max_size=8), st.integers(0, 8))
def test_the_last_one_that_serves_stays(some: list[State], count: int):
    every = running(*some)

    left = [replica for replica in every if replica not in to_remove(every, count)]

    assert len(left) <= max(count, 1)
    assert ("ready" in some) == ("ready" in [replica.state for replica in left])


def test_states_are_counted_as_what_they_are():
    look = replicas.seen(
        [*running("ready", "starting", "unhealthy", "ready"), *running("stopped")], 0.4
    )

    assert (look.ready, look.starting, look.unhealthy, look.load) == (2, 1, 1, 0.4)
    assert look.count == 4


def test_a_copy_has_everything_of_its_sibling_but_what_is_each_ones_own():
    labels = {
        "com.docker.compose.service": "redirector",
        "com.docker.compose.config-hash": "abc",
        "com.docker.compose.container-number": "1",
        "com.docker.compose.replace": "0123",
    }
    sibling = {
        "Config": {
            "Hostname": "0123456789ab",
            "Image": "shortwire/redirector:1",
            "Env": ["A=1"],
            "Labels": labels,
            "StopTimeout": 20,
        },
        "HostConfig": {"NanoCpus": 750_000_000, "CapDrop": ["ALL"]},
        "NetworkSettings": {"Networks": {"app": {"IPAddress": "10.0.0.3"}, "stores": {}}},
    }

    copy = copy_of(sibling, "sw-redirector-3", 3, image="sha256:1")

    assert copy["Labels"].pop("shortwire.autoscaler.copy") == "true"
    assert copy["Labels"] == {
        "com.docker.compose.service": "redirector",
        "com.docker.compose.config-hash": "abc",
        NUMBER: "3",
    }
    assert copy["HostConfig"] == sibling["HostConfig"]
    assert (copy["Env"], copy["StopTimeout"], copy["Image"]) == (["A=1"], 20, "sha256:1")
    assert "Hostname" not in copy
    aliases = {"Aliases": ["redirector", "sw-redirector-3"]}
    assert copy["Endpoints"] == {"app": aliases, "stores": aliases}
