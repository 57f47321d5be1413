"""What the bench found, as a person reads it: ratios of ours to theirs, on the terminal and in the README, and as a chart.

``python bench/report.py`` writes the README's table and ``bench/results/peers.svg`` from ``bench/results/peers.json``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from chart import bar_chart
from keep import machine

ROOT: Final = Path(__file__).parents[1]
OURS: Final = "restwell"
BARS: Final[dict[str, dict[str, float]]] = {
    "W1": {"express": 5, "fastify": 2, "fastapi": 5, "raw-asgi": 0.8},
    "W2": {"express": 2.5, "fastify": 1.2, "fastapi": 6, "raw-asyncpg": 1.2},
    "W3": {"express": 1.5, "fastify": 1, "fastapi": 4, "raw-asyncpg": 0.6},
    "W4": {"express": 2.5, "fastify": 1.2, "fastapi": 5},
    "W5": {"express": 1.5, "fastify": 1, "fastapi": 3},
}
"""How many of our requests for each of theirs we hold ourselves to."""
TITLES: Final = {
    "W1": "a kept list of 20",
    "W2": "a product by its id",
    "W3": "a list of 20",
    "W4": "one's own account",
    "W5": "placing an order",
    "W6": "nine reads for each order",
}
WIDTH: Final = 110
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def ratio(of_work: Mapping[str, Any], peer: str) -> float:
    """Our requests a second for each of theirs."""
    return float(of_work[OURS]["rate"] / of_work[peer]["rate"])


def show(what: str, works: Mapping[str, Any], disqualified: Mapping[str, str]) -> None:
    """One table a work: what each does, and how many times that we do; against a bar, whether it is met."""
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(f"{what}; {machine()}")
    for work, named in works.items():
        table = Table(
            "",
            "ours / theirs",
            "bar",
            "p50 ms",
            "p99 ms",
            "CPU us",
            "memory MB",
            "start s",
            "requests/s",
            title=f"{work} {TITLES[work]}",
        )
        for name, found in named.items():
            bar = BARS.get(work, {}).get(name)
            times = ratio(named, name) if OURS in named and name != OURS else None
            met = "" if bar is None or times is None else f"[green]>= {bar}[/]" if times >= bar else f"[red]>= {bar}[/]"
            cells = [f"{found[key]:.2f}" for key in ("p50_ms", "p99_ms")] + [
                f"{found[key]:.0f}" for key in ("cpu_us", "resident_mb")
            ]
            shown = "" if times is None else f"{times:.2f}"
            table.add_row(name, shown, met, *cells, f"{found['started_seconds']:.2f}", f"{found['rate']:,.0f}")
        console.print(table)
    for name, why in disqualified.items():
        console.print(f"[red]{name} is out of the race:[/] {why}")


def markdown(result: Mapping[str, Any]) -> str:
    """The README's table: works down, peers across."""
    peers = list(dict.fromkeys(name for named in result["works"].values() for name in named if name != OURS))
    lines = ["| | " + " | ".join(peers) + " |", "|---|" + "---:|" * len(peers)]
    for work, named in result["works"].items():
        cells = [f"{ratio(named, peer):.1f}x" if peer in named else "" for peer in peers]
        lines.append(f"| {TITLES[work]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def chart(result: Mapping[str, Any]) -> str:
    peers = [name for name in next(iter(result["works"].values())) if name != OURS and not name.startswith("raw")]
    series = {peer: [ratio(named, peer) for named in result["works"].values()] for peer in peers}
    ticks = [TITLES[work] for work in result["works"]]
    return bar_chart(
        "restwell beside its peers", "requests a second, ours for each of theirs; one core each", ticks, series
    )


def readme_with(readme: str, result: Mapping[str, Any]) -> str:
    """The README, its table renewed."""
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
