"""A system that runs and is watched, for all tests that need one."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest

from shortwire.stack_file import Stack
from tests.end_to_end.launcher import Launcher
from tests.observability import tools, watchers
from tests.observability.watchers import MailServer, Prometheus, Webhook

STORES_AND_HOST = ("cache", "bus", "postgres", "host")


class Watched(msgspec.Struct, frozen=True):
    """`missing` are the jobs whose exporter is not installed."""

    launcher: Launcher
    stack: Stack
    prometheus: Prometheus
    webhook: Webhook
    mail: MailServer
    missing: frozenset[str]


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    for program in tools.PACKAGES:
        tools.find(program)
    folder = tmp_path_factory.mktemp("watched")
    launcher = Launcher(folder / "data", REDIRECTORS="2", API_RATE="10000", REDIRECT_RATE="100000")
    with ExitStack() as running:
        running.callback(launcher.end, signal.SIGTERM)
        stack = launcher.wait_ready().stack()
        exporters = {
            job: running.enter_context(watchers.exporter(job, stack, folder))
            for job in STORES_AND_HOST
        }
        webhook = Webhook()
        running.callback(webhook.close)
        mail = MailServer()
        running.callback(mail.close)
        alerts = running.enter_context(watchers.alertmanager(folder, webhook.url, mail.address))
        present = {job: address for job, address in exporters.items() if address}
        yield Watched(
            launcher=launcher,
            stack=stack,
            prometheus=running.enter_context(watchers.prometheus(stack, present, alerts, folder)),
            webhook=webhook,
            mail=mail,
            missing=frozenset(exporters.keys() - present.keys()),
        )
