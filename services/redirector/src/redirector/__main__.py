"""Run a redirector: `python -m redirector`, settings from the environment."""

from redirector.app import create_app
from redirector.settings import Settings
from shared import logs
from shared.exposition import expose
from shared.serve import serve
from shared.settings import load


def main() -> None:
    """Serve until told to stop."""
    settings = load(Settings)
    logs.configure("redirector", settings.log_level)
    expose("redirector", host=settings.metrics_host, port=settings.metrics_port)
    serve(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http="redirector.protocol:RedirectProtocol",
    )


if __name__ == "__main__":
    main()
