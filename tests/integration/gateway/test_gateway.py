import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shortwire.servers import free_port
from tests.integration.gateway.conftest import Gateway, ask, echo
from tests.integration.gateway.name_server import Names, gone, name_server

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/", "management"),
        ("/users", "management"),
        ("/users/", "management"),
        ("/users/7?x=1", "management"),
        ("/users/bulk", "management"),
        ("/urls", "management"),
        ("/urls/7", "management"),
        ("/urls/redirect", "management"),
        ("/events?cursor=3", "management"),
        ("/health", "management"),
        ("/health/ready", "management"),
        ("/docs", "management"),
        ("/docs/swagger-ui.js", "management"),
        ("/openapi.json", "management"),
        ("/urls/abc/redirect", "redirector"),
        ("/urls/abc/redirect/", "redirector"),
        ("/abc123", "redirector"),
        ("/abc123/", "redirector"),
        ("/abc123+", "redirector"),
        ("/abc123+/?a=b", "redirector"),
        ("/urls/7/aliases/abc", "management"),
        ("/banned-hosts", "management"),
        ("/banned-hosts/evil.example?takedown=true", "management"),
        ("/reserved-codes/offers/", "management"),
        ("/usersx", "redirector"),
        ("/metricsx", "redirector"),
        ("/abc%20d?x=%2F", "redirector"),
        ("/a/b", "management"),
        ("//abc123", "management"),
        ("/abc//", "management"),
    ],
)
def test_a_path_reaches_its_service_as_it_was_sent(gateway_port: int, path: str, service: str):
    answer = ask(gateway_port, path)

    assert (answer.json()["service"], answer.json()["path"]) == (service, path)


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/.error/json", "/.error/html"])
def test_inner_paths_are_not_public(gateway_port: int, path: str):
    answer = ask(gateway_port, path)

    assert answer.status == 404
    assert answer.json() == {"error": "Not found"}


def test_services_learn_the_address_the_gateway_saw(gateway_port: int):
    claimed = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "Host": "go.example"}

    received = ask(gateway_port, "/users", claimed).json()["headers"]

    assert received["x-forwarded-for"] == "127.0.0.1"
    assert received["x-forwarded-proto"] == "http"
    assert received["host"] == "go.example"


def test_a_target_is_never_rewritten(gateway_port: int):
    assert ask(gateway_port, "/abc123").all("location") == ["http://redirector/target"]


@pytest.mark.parametrize("sent", ["a", "x" * 128, "~!{}|'"])
def test_a_sane_request_id_is_kept_and_said_once(gateway_port: int, sent: str):
    answer = ask(gateway_port, "/abc123", {"X-Request-ID": sent})

    assert answer.all("x-request-id") == [sent]
    assert answer.json()["headers"]["x-request-id"] == sent


@pytest.mark.parametrize("sent", [None, "", "x" * 129, "two words", "caf\xe9"])
def test_any_other_request_id_is_replaced(gateway_port: int, sent: str | None):
    answer = ask(gateway_port, "/metrics", {} if sent is None else {"X-Request-ID": sent})

    assert len(answer.all("x-request-id")) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", answer.all("x-request-id")[0])


def test_every_answer_has_the_security_headers_once(gateway_port: int):
    for path in ("/abc123", "/metrics"):
        answer = ask(gateway_port, path)

        assert answer.all("x-content-type-options") == ["nosniff"]
        assert answer.all("x-frame-options") == ["DENY"]
        assert answer.all("server") == ["nginx"]


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER["Accept"], True),
        ("text/html", True),
        ("text/html, application/json;q=0.5", True),
        ("text/html;q=0.8, */*;q=0.1", False),  # services weigh the numbers, JSON is the default
        ("application/json, text/html;q=0.9", False),
        ("text/html, application/json", False),
        ("text/html;q=0, application/json;q=0.1", False),
        ("*/*", False),
        ("application/json", False),
    ],
)
def test_who_prefers_html_gets_a_page(gateway_port: int, accept: str, is_page: bool):
    answer = ask(gateway_port, "/metrics", {"Accept": accept})

    assert answer.status == 404
    assert (b"<h1>Not Found</h1>" in answer.body) == is_page
    kind = "text/html; charset=utf-8" if is_page else "application/json"
    assert answer.all("content-type") == [kind]


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/urls", 64 << 10, 200),
        ("/urls", (64 << 10) + 1, 413),
        ("/users/bulk", 1 << 20, 200),
        ("/users/bulk", (16 << 20) + 1, 413),
    ],
)
def test_a_body_is_bounded(gateway_port: int, path: str, size: int, status: int):
    # Only the announced length of what is refused: the gateway need not read it.
    body = b"x" * size if status == 200 else b""

    answer = ask(gateway_port, path, {"Content-Length": str(size)}, "POST", body)

    assert answer.status == status
    assert answer.json().get("length", 0) == len(body)


def test_oversized_headers_and_addresses_are_refused_in_our_words(gateway_port: int):
    header = ask(gateway_port, "/abc123", {"X-Large": "x" * 10_000})
    address = ask(gateway_port, "/" + "x" * 10_000)

    assert (header.status, header.json()) == (431, {"error": "Request headers too large"})
    assert (address.status, address.json()) == (414, {"error": "Address too long"})


def test_a_malformed_request_is_refused_in_our_words(gateway_port: int):
    answer = ask(gateway_port, "/abc%00")

    assert (answer.status, answer.json()) == (400, {"error": "Malformed request"})


def test_a_method_the_gateway_refuses_names_those_it_knows(gateway_port: int):
    answer = ask(gateway_port, "/abc123", method="TRACE")

    assert (answer.status, answer.json()) == (405, {"error": "Method not allowed"})
    assert answer.all("allow") == ["GET, HEAD, POST, PUT, PATCH, DELETE"]


def test_what_a_service_answers_is_passed_on(gateway_port: int):
    answer = ask(gateway_port, "/users", {"X-Answer": "503"})

    assert (answer.status, answer.all("retry-after")) == (503, ["7"])
    assert answer.json()["service"] == "management"


@pytest.mark.parametrize("path", ["/users", "/abc123"])
def test_a_service_that_is_away_is_said_with_when_to_try_again(start_gateway: Gateway, path: str):
    port = start_gateway(redirectors=[free_port()], management=free_port())

    answer, page = ask(port, path), ask(port, path, BROWSER)

    assert (answer.status, page.status) == (503, 503)
    assert answer.json() == {"error": "Temporarily unavailable, please try again"}
    assert answer.all("retry-after") == page.all("retry-after") == ["1"]
    assert b"<h1>Service Unavailable</h1>" in page.body


def test_a_redirect_is_asked_of_the_next_redirector(start_gateway: Gateway):
    with echo("redirector") as alive, echo("management") as management:
        port = start_gateway(redirectors=[free_port(), alive, free_port()], management=management)

        statuses = [ask(port, "/abc123").status for _ in range(20)]

    assert statuses == [200] * 20


def test_a_redirect_is_asked_anew_when_the_one_that_was_tried_is_gone_and_forgotten(
    start_gateway: Gateway,
):
    names = Names(["127.0.0.2", "127.0.0.3"])
    port = free_port()
    with (
        gone("127.0.0.2", port),
        echo("redirector", "127.0.0.3", port),
        echo("management") as management,
        name_server(names) as name_port,
        ThreadPoolExecutor() as visitors,
    ):
        door = start_gateway(redirectors=[port], management=management, names=name_port)
        names.asked.clear()
        assert names.asked.wait(10)
        time.sleep(1.5)  # Nginx asks every two seconds: again while it waits for the one

        answers = [visitors.submit(ask, door, "/abc123") for _ in range(2)]
        names.addresses = ["127.0.0.3"]
        statuses = [answer.result().status for answer in answers]

    assert statuses == [200, 200]


def test_a_change_that_reached_nobody_is_sent_on_past_two_that_are_gone(start_gateway: Gateway):
    with echo("redirector") as redirector, echo("management") as alive:
        gone = [free_port(), free_port()]
        port = start_gateway(redirectors=[redirector], management=[*gone, alive], api_rate=1000)

        answers = [ask(port, "/urls/1", method="PUT", body=b"{}") for _ in range(20)]

    assert [answer.status for answer in answers] == [200] * 20


def test_too_many_requests_are_refused_by_their_kind(start_gateway: Gateway):
    with echo("redirector") as redirector, echo("management") as management:
        port = start_gateway(
            redirectors=[redirector], management=management, api_rate=1, redirect_rate=1
        )

        api = [ask(port, "/users") for _ in range(4)]
        redirects = [ask(port, "/abc123") for _ in range(220)]

    assert [answer.status for answer in api] == [200, 200, 200, 429]
    assert api[-1].json() == {"error": "Too many requests, please slow down"}
    assert api[-1].all("retry-after") == ["1"]
    assert [answer.status for answer in redirects[:201]] == [200] * 201
    assert redirects[-1].status == 429


def test_the_access_log_is_json_without_the_visitor(
    start_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
):
    with echo("redirector") as redirector, echo("management") as management:
        port = start_gateway(redirectors=[redirector], management=management)
        ask(port, "/abc123?secret=1", {"X-Request-ID": "logged", "User-Agent": 'a"b'})
        logs = sorted(tmp_path_factory.getbasetemp().glob("gateway*/access.log"))

        line = _logged(logs, "logged")

    assert (line["path"], line["status"], line["method"]) == ("/abc123", 200, "GET")
    assert "secret" not in json.dumps(line)
    assert "127.0.0.1" not in str({**line, "upstream": ""})


def _logged(logs: list[Path], request_id: str) -> Any:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for log in logs:
            for line in log.read_text().splitlines():
                if json.loads(line)["request_id"] == request_id:
                    return json.loads(line)
        time.sleep(0.05)
    raise AssertionError("not logged")


def test_what_differs_in_each_request_comes_first_as_the_redirector_expects(gateway_port: int):
    for headers in ({}, {"Accept": "*/*", "User-Agent": "a", "X-Request-ID": "mine"}):
        received = ask(gateway_port, "/abc123", headers).json()["headers"]

        assert list(received)[:3] == ["host", "x-request-id", "x-request-start"]
