"""Write every dashboard as Grafana reads it: `python -m observability.dashboards`."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.dashboards.autoscaling import autoscaling
from observability.dashboards.event_pipeline import event_pipeline
from observability.dashboards.overview import overview
from observability.dashboards.redirect_path import redirect_path
from observability.dashboards.stores import stores

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"
DASHBOARDS = {
    "overview": overview,
    "redirect-path": redirect_path,
    "event-pipeline": event_pipeline,
    "autoscaling": autoscaling,
    "stores": stores,
}


def render(dashboard: Dashboard) -> str:
    """Return the dashboard's file."""
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write the files anew."""
    for name, make in DASHBOARDS.items():
        (FOLDER / f"{name}.json").write_text(render(make()), encoding="utf-8")


if __name__ == "__main__":
    main()
