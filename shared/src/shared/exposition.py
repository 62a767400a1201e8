"""A service's numbers for Prometheus, on a port of their own."""

from importlib.metadata import version

import prometheus_client
from prometheus_client import Gauge

BUILD = Gauge("shortwire_build_info", "1; what runs here.", ["service", "version"])


def expose(service: str, *, host: str, port: int) -> None:
    """Answer `/metrics` from a thread until the process ends."""
    # Without the times at which series began: half as many, and nobody asks for those.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    BUILD.labels(service, version(f"shortwire-{service}")).set(1)
    prometheus_client.start_http_server(port, host)
