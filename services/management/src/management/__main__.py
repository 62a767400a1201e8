"""Run management: `python -m management`, settings from the environment."""

from management.app import create_app
from management.settings import Settings
from shared import logs
from shared.exposition import expose
from shared.serve import serve
from shared.settings import load


def main() -> None:
    """Serve until told to stop."""
    settings = load(Settings)
    logs.configure("management", settings.log_level)
    expose("management", host=settings.metrics_host, port=settings.metrics_port)
    serve(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        trusted_proxies=settings.trusted_proxies,
    )


if __name__ == "__main__":
    main()
