"""A real Prometheus over the running system: what is asked for is there, an outage is told."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests import observed
from tests.end_to_end.launcher import Launcher, send
from tests.observability.conftest import Watched
from tests.observability.watchers import until

LINKS = 20
VISITORS = 3
PAUSE_SECONDS = 0.02
LOAD_SECONDS = 90.0  # at most, whatever happens to the test
DATA_SECONDS = 60.0
OUTAGE_SECONDS = 120.0  # an alert is pending for 30 s
ALWAYS_MISSING = {
    "nginx": "the wheel's Nginx has no stub_status to export",
    "probe": "make run speaks no TLS, so there is no certificate",
    "shortwire_autoscaler": "it scales containers, which make run has none of",
    "ALERTS": "it holds what fires; see the outage below",
}
OF_EXPORTER = {"cache": "redis", "bus": "redis", "postgres": "pg", "host": "node"}


@contextmanager
def visitors(launcher: Launcher) -> Iterator[None]:
    """Links that are made, changed, followed and not found, until the block or the time ends."""
    until_then = time.monotonic() + LOAD_SECONDS
    stop = threading.Event()
    user = send(launcher.url("/users"), "POST", {"username": "watched", "email": "w@example.com"})
    links = [
        send(
            launcher.url("/urls"),
            "POST",
            {"user_id": user.json()["id"], "original_url": f"https://example.com/{number}"},
        ).json()
        for number in range(LINKS)
    ]

    def visit() -> None:
        while not stop.is_set() and time.monotonic() < until_then:
            for link in links:
                send(launcher.url(f"/{link['short_code']}"))
                stop.wait(PAUSE_SECONDS)
            send(launcher.url("/no-such-code"))
            send(launcher.url(f"/urls/{links[0]['id']}"), "PUT", {"title": str(time.time())})

    threads = [threading.Thread(target=visit) for _ in range(VISITORS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def expressions() -> list[str]:
    """What rules and panels ask Prometheus; an alert's without its thresholds."""
    found = []
    for rule in observed.rules():
        is_alert = isinstance(rule, observed.Alert)
        found.append(observed.without_thresholds(rule.expr) if is_alert else rule.expr)
    found += [asked.expr for asked in observed.asked() if asked.language == "prometheus"]
    return [expression.replace("$__rate_interval", "1m") for expression in found]


def test_every_expression_returns_data(watched: Watched):
    unanswered = set(expressions())

    def answered() -> bool:
        unanswered.difference_update([e for e in unanswered if watched.prometheus.ask(e)])
        return not [e for e in unanswered if not excuses(e, watched)]

    with visitors(watched.launcher), suppress(TimeoutError):
        until(answered, "data for everything", DATA_SECONDS)
    assert "\n".join(e for e in unanswered if not excuses(e, watched)) == ""

    print(f"{len(set(expressions())) - len(unanswered)} answered, {len(unanswered)} excused")
    excused = {excuse for expression in unanswered for excuse in excuses(expression, watched)}
    assert excused == missing(watched), "an excuse that is not needed"
    for prefix in excused:
        found = watched.prometheus.ask(f'{{__name__=~"{prefix}(_.*)?", job!=""}}')
        assert found == [], f"{prefix} can be had"


def missing(watched: Watched) -> set[str]:
    """Beginnings of metrics that cannot be had here."""
    return {*ALWAYS_MISSING, *(OF_EXPORTER[job] for job in watched.missing)}


def excuses(expression: str, watched: Watched) -> list[str]:
    """Which of them an expression asks for; what is recorded of the host is the host's."""
    names = {*observed.metric_names(expression), *re.findall(r"\bALERTS\b", expression)}
    names = {"node" if name.startswith("filesystem:") else name for name in names}
    return [prefix for prefix in missing(watched) if any(n.startswith(prefix) for n in names)]


def test_a_service_that_stands_still_is_told_and_so_is_its_return(watched: Watched):
    process = watched.stack.management.pid
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    try:
        until(
            lambda: watched.webhook.got("[critical] ServiceDown management firing"),
            "the alert at the webhook",
            OUTAGE_SECONDS,
        )
        assert watched.webhook.got(
            "No replica of management answers", "docs/runbooks/ServiceDown.md"
        )
        until(
            lambda: watched.mail.got("Subject: [critical] ServiceDown management firing"),
            "the alert by mail",
            OUTAGE_SECONDS,
        )
        firing = watched.prometheus.ask('ALERTS{alertstate="firing", severity="critical"}')
        assert [series["metric"]["alertname"] for series in firing] == ["ServiceDown"]
    finally:
        os.kill(process, signal.SIGCONT)

    until(
        lambda: watched.webhook.got("[critical] ServiceDown management resolved"),
        "its end at the webhook",
        OUTAGE_SECONDS,
    )
    assert not watched.webhook.got("redirector")
