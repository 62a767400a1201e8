"""An installation whose autoscaler decides every second or two."""

from tests.compose.deployment.installation import Installation, run

SETTINGS = {
    "AUTOSCALER_DRY_RUN": "false",
    # A laptop can load several; resting, where health checks take 0.03, must stay below 30 %.
    "REPLICA_CPUS": "0.17",
    "AUTOSCALER_POLL_SECONDS": "1",
    "AUTOSCALER_DOWN_POLLS": "15",  # longer than a command of Compose takes
    "AUTOSCALER_UP_COOLDOWN_SECONDS": "3",
    "AUTOSCALER_DOWN_COOLDOWN_SECONDS": "4",
    "BUS_MAXMEMORY": "256mb",
}


class Scaled(Installation):
    """Replicas by state, as the engine sees them."""

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, **SETTINGS, "REDIRECT_RATE": "100000"}

    def count(self, service: str) -> int:
        return len(self.containers(service))

    def metrics(self, name: str) -> dict[str, float]:
        """The autoscaler's samples of this name, by their labels as text."""
        words = (
            "from urllib.request import urlopen;"
            "print(urlopen('http://127.0.0.1:9103/metrics', timeout=5).read().decode())"
        )
        text = self.compose("exec", "-T", "autoscaler", "python", "-c", words)
        samples = [line.rpartition(" ") for line in text.splitlines() if line.startswith(name)]
        return {labels.removeprefix(name): float(value) for labels, _, value in samples}

    def all_of_project(self) -> list[str]:
        """Every container that there is, running or not."""
        label = f"label=com.docker.compose.project={self.name}"
        return run(["docker", "ps", "--all", "--quiet", "--filter", label]).split()
