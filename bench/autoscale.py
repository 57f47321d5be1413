"""Simulates a Kubernetes autoscaler under a load that grows tenfold: how much is refused, and for how long.

All loads are relative to what one pod can serve, so the result depends on no machine. The autoscaler is that of
Kubernetes: every 15 seconds ``desired = ceil(pods * value / target)``, within the limits of its scale-up policy. A pod
that gets more than it can serve serves GOODPUT of it and refuses the rest with 503 (docs/scoreboard.md, A3).
``python bench/autoscale.py --out bench/results/autoscale``

Source of the formula and the defaults: Kubernetes documentation, "Horizontal Pod Autoscaling".
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from chart import line_chart
from results_file import save_result

TARGET = 0.6
PODS = 4
"""Before the spike, each at TARGET."""
TIMES = 10
SPIKE_AT, SECONDS = 60, 900
SYNC_SECONDS = 15
METRIC_SECONDS = 15
"""How old the value is that the autoscaler sees."""
GOODPUT = 0.84


class Setup(NamedTuple):
    name: str
    metric: str = "cpu"
    """``cpu`` is at most that of the ready pods; ``requests`` are those that arrive, with the refused ones."""
    growth: float = 1.0
    """How much a step may add, as a part of the pods. The default of Kubernetes is 100%, or 4 pods if that is more."""
    ready_seconds: int = 10
    ramp_seconds: int = 0
    spare: float = 1.0
    """The pods before the spike, as a multiple of PODS."""


SETUPS = (
    Setup("CPU, the defaults"),
    Setup("CPU, new nodes (120 s)", ready_seconds=120),
    Setup("CPU, growth within 2 minutes", ramp_seconds=120),
    Setup("requests, the defaults", "requests"),
    Setup("requests, 900% a step", "requests", growth=9.0),
    Setup("requests, 900%, new nodes", "requests", growth=9.0, ready_seconds=120),
    Setup("requests, 900%, 3 times the pods", "requests", growth=9.0, spare=3.0),
)


class Second(NamedTuple):
    arriving: float
    served: float
    ready: int


def arriving_at(second: int, ramp_seconds: int) -> float:
    base = PODS * TARGET
    part = min(1.0, (second - SPIKE_AT) / ramp_seconds) if ramp_seconds else 1.0
    return base if second < SPIKE_AT else base * (1 + (TIMES - 1) * part)


def simulate(setup: Setup) -> Iterator[Second]:
    """One value for each second."""
    pods = ready = round(PODS * setup.spare)
    starting: list[tuple[int, int]] = []
    used: list[float] = []
    for second in range(SECONDS):
        ready += sum(count for at, count in starting if at == second)
        arriving = arriving_at(second, setup.ramp_seconds)
        served = arriving if arriving <= ready else ready * GOODPUT
        used.append(min(arriving, ready) if setup.metric == "cpu" else arriving)
        if second % SYNC_SECONDS == 0 and second >= METRIC_SECONDS:
            recent = used[max(0, second - METRIC_SECONDS - SYNC_SECONDS) : second - METRIC_SECONDS + 1]
            desired = math.ceil(sum(recent) / len(recent) / TARGET - 1e-9)  # pods that start use nothing yet
            limit = max(math.floor(pods * (1 + setup.growth)), pods + 4)
            if added := max(0, min(desired, limit) - pods):
                pods += added
                starting.append((second + setup.ready_seconds, added))
        yield Second(arriving, served, ready)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    out: Path | None = parser.parse_args().out
    rows, curves = [], {}
    for setup in SETUPS:
        seconds = list(simulate(setup))
        refused = [each.arriving - each.served for each in seconds]
        short = [number for number, each in enumerate(refused) if each > 0]
        rows.append(
            {
                "setup": setup.name,
                "seconds_until_all_is_served": short[-1] + 1 - SPIKE_AT if short else 0,
                "refused_percent_of_ten_minutes": round(
                    100 * sum(refused) / sum(each.arriving for each in seconds[SPIKE_AT : SPIKE_AT + 600]), 1
                ),
                "pods_at_the_end": seconds[-1].ready,
            }
        )
        curves[setup.name] = [each.served / each.arriving * 100 for each in seconds[:360:10]]
        print(*(f"{value:>34}" if isinstance(value, str) else f"{value:>10}" for value in rows[-1].values()))
    if out is not None:
        save_result(out, "a simulation of ten times the load", target=TARGET, goodput=GOODPUT, setups=rows)
        drawn = {
            name: curves[name] for name in ("CPU, the defaults", "CPU, new nodes (120 s)", "requests, 900% a step")
        }
        ticks = [str(second - SPIKE_AT) if second % 60 == 0 else "" for second in range(0, 360, 10)]
        svg = line_chart("Ten times the load at second 0", "% of the requests served", ticks, drawn)
        out.with_suffix(".svg").write_text(svg)


if __name__ == "__main__":
    main()
