"""Run a redirector: `python -m redirector`, settings from the environment."""

import prometheus_client

from redirector.app import create_app
from redirector.settings import Settings
from shared import logs
from shared.serve import serve
from shared.settings import load


def main() -> None:
    """Serve until told to stop."""
    settings = load(Settings)
    logs.configure("redirector", settings.log_level)
    prometheus_client.start_http_server(settings.metrics_port, settings.metrics_host)
    serve(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http="redirector.protocol:RedirectProtocol",
    )


if __name__ == "__main__":
    main()
