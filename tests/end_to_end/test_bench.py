"""The measuring program at its shortest: figures of one second mean nothing, its work does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


def test_a_short_measurement_counts_each_click_once(tmp_path: Path):
    results = tmp_path / "results.json"
    flags = ["--rounds", "1", "--seconds", "1", "--only", "nginx,redirector,near-miss"]

    done = subprocess.run(
        [sys.executable, "-m", "bench", *flags, "--results", str(results), "redirects"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    measured = json.loads(results.read_bytes())["redirects"]["turns"]
    assert measured["nginx"][0]["requests"] > 0
    for name in ("redirector", "near-miss"):
        [turn] = measured[name]
        assert turn["refused"] == 0
        assert turn["requests"] > 0
        assert round(turn["recorded"], 3) == 1.0
    assert "redirector, warm ÷ Nginx" in done.stdout


def test_an_unknown_contender_is_named():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--only", "apache", "redirects"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 1
    assert "No such contender: apache" in done.stderr
