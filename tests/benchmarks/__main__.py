"""`python -m tests.benchmarks [PART …]`: measure, print a table, write a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from dataclasses import asdict
from pathlib import Path

from pgqueue.store import embedded
from pgqueue.store.migrate import migrate
from tests.benchmarks.measures import MEASURES, Bench, Figure
from tests.benchmarks.meters import Cost, median_cost
from tests.benchmarks.tasks import app

SERVER = {"shared_buffers": "1GB", "max_wal_size": "4GB"}


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *MEASURES], help="default: all")
    parser.add_argument("--runs", type=int, default=3, help="alternating runs of each (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of jobs")
    parser.add_argument(
        "--json", type=Path, default=Path("build/bench.json"), help="the file to write"
    )
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pgqueue-bench-") as folder,
        embedded.start(_open_to_its_owner(folder), settings=SERVER) as server,
    ):
        url = server.url()
        migrate(url)
        app.conf.database_url = url
        os.environ["PGQUEUE_BENCH_DATABASE_URL"] = url
        bench = Bench(url, server.pid, options.runs, options.scale)
        figures = []
        for part in options.parts or MEASURES:
            print(f"{part} …", flush=True)
            figures += MEASURES[part](bench)
        app.close()
        about = {
            "python": platform.python_version(),
            "postgresql": server.version,
            "processors": os.cpu_count(),
            "runs": options.runs,
            "synchronous_commit": "on",
        }
    print_table(figures, about)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(
        json.dumps({"about": about, "figures": [asdict(f) for f in figures]}, indent=1)
    )
    print(f"\nwritten to {options.json}")


def print_table(figures: list[Figure], about: dict[str, object]) -> None:
    """The figures, each beside the raw loop's."""
    print("\n" + ", ".join(f"{name} {value}" for name, value in about.items()) + "; medians\n")
    print(f"{'measure':34} {'pgqueue':>10} {'raw SQL':>10} {'ratio':>6}  unit")
    for figure in figures:
        raw, ratio = figure.raw_value, ""
        if raw:
            ratio = f"{figure.value / raw:.2f}"
        shown = "" if raw is None else _number(raw)
        print(
            f"{figure.measure:34} {_number(figure.value):>10} {shown:>10} {ratio:>6}  {figure.unit}"
            + (f"  (raw: {figure.raw})" if figure.raw else "")
        )
        for whose, costs in (("pgqueue", figure.costs), ("raw", figure.raw_costs)):
            if costs:
                print(f"{'':4} {whose:8} per job: {_cost(median_cost(costs))}")


def _cost(cost: Cost) -> str:
    return (
        f"{cost.wal_bytes:.0f} B of WAL, {cost.commits:.4f} commits; CPU µs: server "
        f"{cost.server_us:.1f}, client {cost.client_us:.1f}, children {cost.children_us:.1f}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _open_to_its_owner(folder: str) -> Path:
    # A temporary folder is 0700 root: the account that runs the server needs to reach what is inside.
    Path(folder).chmod(0o711)
    return Path(folder) / "data"


if __name__ == "__main__":
    main()
