from prometheus_client import REGISTRY

from redirector import metrics

NAME = "shortwire_redirector_response_seconds"


def value(name: str, source: str, **labels: str) -> float:
    labels = {"route": "/{code}", "source": source, **labels}
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_the_answers_of_one_turn_are_counted_at_once():
    bounds = ("0.0001", "0.00025", "+Inf")

    metrics.answered(302, "a turn", 0.0002, 5)
    metrics.answered(404, "a turn", 7.0)

    assert [value(f"{NAME}_bucket", "a turn", le=bound) for bound in bounds] == [0, 5, 6]
    assert value(f"{NAME}_count", "a turn") == 6
    assert value(f"{NAME}_sum", "a turn") > 7.0
    responses = "shortwire_redirector_responses_total"
    assert value(responses, "a turn", status="302") == 5
    assert value(responses, "a turn", status="404") == 1
