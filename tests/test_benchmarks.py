"""The instrument runs: every part, on small numbers; what it measures is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_benchmarks_measure_each_part_beside_its_raw_loop(tmp_path: Path) -> None:
    report = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--runs", "1", "--scale", "0.002"]

    done = subprocess.run(
        [*command, "--json", str(report)], capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    figures = json.loads(report.read_text())["figures"]
    assert len(figures) == 7
    assert all(run > 0 for figure in figures for run in figure["runs"] + figure["raw_runs"])
    assert "drain, no-op, -c 2" in done.stdout
