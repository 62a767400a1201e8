"""The rules of each service that is scaled. This is the file to change them in."""

from autoscaler.policy import Policy
from autoscaler.settings import ScalingSettings

# What a signal means: see signals.py. Where a service has several, the greatest counts.
SIGNALS = {
    "redirector": ("cpu",),
    "management": ("cpu",),
    "event-ingest": ("lag", "cpu"),
}
BOUNDS = {
    "redirector": (2, 5),
    "management": (2, 5),
    "event-ingest": (1, 4),
}
# Entries of the streams of clicks that are too many to wait for one consumer: some seconds of what
# two redirectors send when they are busy.
FULL_LAG_ENTRIES = 1_000


def policies(settings: ScalingSettings) -> list[Policy]:
    """Return the policy of each service; an operator may set how soon they act."""
    return [
        Policy(
            service=service,
            minimum=minimum,
            maximum=maximum,
            up_polls=settings.up_polls,
            down_polls=settings.down_polls,
            up_cooldown=settings.up_cooldown_seconds,
            down_cooldown=settings.down_cooldown_seconds,
        )
        for service, (minimum, maximum) in BOUNDS.items()
    ]
