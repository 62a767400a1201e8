from prometheus_client import REGISTRY

from redirector import metrics

SECONDS = "shortwire_redirector_response_seconds"
RESPONSES = "shortwire_redirector_responses_total"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"route": "/{code}", **labels}) or 0.0


def test_answers_are_counted_by_status_and_time():
    bounds = ("0.0001", "0.00025", "+Inf")

    metrics.answered_on("/{code}", 302, "a test", 0.0002)
    metrics.answered_on("/{code}", 404, "a test", 7.0)

    assert [value(f"{SECONDS}_bucket", source="a test", le=le) for le in bounds] == [0, 1, 2]
    assert value(f"{SECONDS}_sum", source="a test") > 7.0
    assert value(RESPONSES, source="a test", status="302") == 1
    assert value(RESPONSES, source="a test", status="404") == 1


def test_a_turn_of_the_short_cut_is_counted_at_once_and_shown_by_the_next_scrape():
    hits = {"tier": "near", "result": "hit"}
    before = REGISTRY.get_sample_value("shortwire_redirector_lookups_total", hits) or 0.0
    counted = {status: value(RESPONSES, source="near", status=status) for status in ("302", "308")}
    seconds = value(f"{SECONDS}_count", source="near")

    metrics.answered_at_once({302: 5, 308: 1}, 0.0002)
    metrics.answered_at_once({302: 2}, 0.0002)

    for _ in range(2):  # scrapes: none adds twice
        assert value(RESPONSES, source="near", status="302") == counted["302"] + 7
        assert value(RESPONSES, source="near", status="308") == counted["308"] + 1
        assert value(f"{SECONDS}_count", source="near") == seconds + 8
        after = REGISTRY.get_sample_value("shortwire_redirector_lookups_total", hits)
        assert after == before + 8
