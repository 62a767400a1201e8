"""What compose.yaml must not say, whatever engine reads it."""

from collections import Counter
from pathlib import Path

import yaml

FILE = Path(__file__).parents[2] / "compose.yaml"


def test_an_image_is_built_for_one_service_only():
    services = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"].values()

    built = Counter(service["image"] for service in services if "build" in service)

    assert len(built) > 1
    assert set(built.values()) == {1}
