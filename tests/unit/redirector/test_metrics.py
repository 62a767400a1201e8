from prometheus_client import REGISTRY

from redirector import metrics

NAME = "shortwire_redirector_response_seconds"


def bucket(bound: str) -> float:
    return REGISTRY.get_sample_value(f"{NAME}_bucket", {"le": bound}) or 0.0


def test_the_answers_of_one_turn_are_counted_at_once():
    before = (bucket("0.0001"), bucket("0.00025"), bucket("+Inf"))
    total = REGISTRY.get_sample_value(f"{NAME}_sum") or 0.0

    metrics.answered(302, "near", 0.0002, 5)
    metrics.answered(404, "none", 7.0)

    after = (bucket("0.0001"), bucket("0.00025"), bucket("+Inf"))
    assert [a - b for a, b in zip(after, before, strict=True)] == [0, 5, 6]
    assert REGISTRY.get_sample_value(f"{NAME}_count") == after[2]
    assert (REGISTRY.get_sample_value(f"{NAME}_sum") or 0.0) - total > 7.0
