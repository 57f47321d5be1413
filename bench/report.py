"""Reports the results as throughput ratios: tables for the terminal and the README, and a chart.

``python bench/report.py`` writes the README's table and ``bench/results/peers.svg`` from ``bench/results/peers.json``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from chart import bar_chart
from results_file import describe_machine

ROOT: Final = Path(__file__).parents[1]
RESTWELL: Final = "restwell"
TARGETS: Final[dict[str, dict[str, float]]] = {
    "W1": {"express": 3, "fastify": 2.5, "fastapi": 10, "raw-asgi": 0.9},
    "W2": {"express": 1.5, "fastify": 1.2, "fastapi": 10, "raw-asyncpg": 1.2},
    "W3": {"express": 1.5, "fastify": 1.3, "fastapi": 8, "raw-asyncpg": 1},
    "W4": {"express": 2.5, "fastify": 1.6, "fastapi": 12},
    "W5": {"express": 1.5, "fastify": 1.2, "fastapi": 6},
    "W6": {"express": 1.2, "fastify": 1, "fastapi": 5},
}
"""The minimum throughput of restwell relative to each peer."""
TITLES: Final = {
    "W1": "cached list of 20",
    "W2": "product by id",
    "W3": "list of 20",
    "W4": "current user",
    "W5": "place an order",
    "W6": "nine reads per order",
}
WIDTH: Final = 110
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def ratio(results_of_workload: Mapping[str, Any], peer: str) -> float:
    """The throughput of restwell relative to ``peer``."""
    return float(results_of_workload[RESTWELL]["rate"] / results_of_workload[peer]["rate"])


def show(what: str, workloads: Mapping[str, Any], versions: Mapping[str, str], disqualified: Mapping[str, str]) -> None:
    """Print one table per workload, with the ratios, the targets and whether they are met."""
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(f"{what}; {describe_machine()}; {describe(versions)}")
    for workload, results_by_name in workloads.items():
        table = Table(
            "",
            "ratio",
            "target",
            "p50 ms",
            "p99 ms",
            "CPU us",
            "memory MB",
            "start s",
            "requests/s",
            title=f"{workload} {TITLES[workload]}",
        )
        for name, result_of_name in results_by_name.items():
            target = TARGETS.get(workload, {}).get(name)
            times = ratio(results_by_name, name) if RESTWELL in results_by_name and name != RESTWELL else None
            met = (
                ""
                if target is None or times is None
                else f"[green]>= {target}[/]"
                if times >= target
                else f"[red]>= {target}[/]"
            )
            cells = [f"{result_of_name[key]:.2f}" for key in ("p50_ms", "p99_ms")] + [
                f"{result_of_name[key]:.0f}" for key in ("cpu_us", "resident_mb")
            ]
            shown = "" if times is None else f"{times:.2f}"
            table.add_row(
                name, shown, met, *cells, f"{result_of_name['started_seconds']:.2f}", f"{result_of_name['rate']:,.0f}"
            )
        console.print(table)
    for name, reason in disqualified.items():
        console.print(f"[red]{name} is disqualified:[/] {reason}")


def markdown(result: Mapping[str, Any]) -> str:
    """The table of the README: a row per workload, a column per peer, and the versions."""
    peers = list(
        dict.fromkeys(
            name for results_by_name in result["workloads"].values() for name in results_by_name if name != RESTWELL
        )
    )
    lines = ["| | " + " | ".join(peers) + " |", "|---|" + "---:|" * len(peers)]
    for workload, results_by_name in result["workloads"].items():
        cells = [f"{ratio(results_by_name, peer):.1f}x" if peer in results_by_name else "" for peer in peers]
        lines.append(f"| {TITLES[workload]} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"{result['machine']}; {describe(result['versions'])}."])


def describe(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def chart(result: Mapping[str, Any]) -> str:
    peers = [
        name for name in next(iter(result["workloads"].values())) if name != RESTWELL and not name.startswith("raw")
    ]
    series = {
        peer: [ratio(results_by_name, peer) for results_by_name in result["workloads"].values()] for peer in peers
    }
    ticks = [TITLES[workload] for workload in result["workloads"]]
    return bar_chart(
        "Throughput of restwell relative to each framework",
        "ratio of requests per second, one core each",
        ticks,
        series,
    )


def readme_with(readme: str, result: Mapping[str, Any]) -> str:
    """The README with the updated table."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown(result)}\n{END}{after}"


def main() -> None:
    result = json.loads((ROOT / "bench/results/peers.json").read_text())
    (ROOT / "bench/results/peers.svg").write_text(chart(result))
    readme = ROOT / "README.md"
    readme.write_text(readme_with(readme.read_text(), result))


if __name__ == "__main__":
    main()
