import pytest

from shared import redis_client
from shared.errors import REDIS_UNAVAILABLE, ServerRefuses


@pytest.mark.parametrize(
    "reply",
    [
        "MISCONF Errors writing to the AOF file: No space left on device",
        "NOREPLICAS Not enough good replicas to write.",
        "UNBLOCKED force unblock from blocking operation",
    ],
)
def test_a_reply_that_tells_of_the_server_s_state_says_try_again(reply: str):
    error = redis_client._Parser.parse_error(reply)

    assert isinstance(error, ServerRefuses)
    assert isinstance(error, REDIS_UNAVAILABLE)
    assert str(error) == reply.partition(" ")[2]


def test_a_reply_that_tells_of_the_command_does_not():
    error = redis_client._Parser.parse_error("ERR unknown command")

    assert not isinstance(error, REDIS_UNAVAILABLE)
