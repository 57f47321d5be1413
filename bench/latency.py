"""How long answers take at a steady rate of arrivals: ``python bench/latency.py --out bench/results/latency``.

Arrivals do not wait for answers: h2load sends in bursts of one request a connection, at 50, 80 and 95% of what wrk got out of the same
contender just before. A request that could not be sent in time, since the connections were busy, is counted from when it should have been
(coordinated omission). Reads only: W1, W2 and W4, as in ``routes.py``, one core each.
"""

import argparse
import asyncio
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from chart import line_chart
from contenders import OURS, ROOT, Serving, install, serving
from family import refuse_leftovers
from keep import keep
from routes import CONNECTIONS, Bench, Run, install_load_generator, load
from servers import postgres, redis_server
from works import SCRIPTS, Subjects, subjects_for

PARTS = (0.5, 0.8, 0.95)
PERCENTILES = (50, 99, 99.9)


def error_paths(work: str, subjects: Subjects) -> list[str]:
    if work == "W2":
        return [f"/v1/products/{one}" for one in subjects.ids]
    return ["/v1/users/me" if work == "W4" else "/v1/products?limit=20"]


def arrive(one: Serving, paths: list[str], token: str, rate: float, seconds: int, folder: Path) -> Run:
    """Send at that rate, requests a second; percentiles in milliseconds of the time from when each should have been sent."""
    asked, log = folder / "asked.txt", folder / "h2load.tsv"
    asked.write_text("".join(f"{one.url}{path}\n" for path in paths))
    log.unlink(missing_ok=True)
    each = rate / CONNECTIONS
    command = [
        "taskset",
        "-c",
        "1",
        "h2load",
        "--h1",
        f"--clients={CONNECTIONS}",
        f"--rps={each:.3f}",
        f"--input-file={asked}",
    ]
    count = int(rate * seconds)
    command += [f"--requests={count}", f"--log-file={log}", f"--header=authorization: Bearer {token}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rows = sorted(tuple(map(int, line.split("\t")[:3])) for line in log.read_text().splitlines())
    assert len(rows) == count
    assert all(status == 200 for _, status, _ in rows), "only right answers are timed"  # OK
    first = rows[0][0]
    late = sorted(
        max(took, start + took - (first + number // CONNECTIONS * 1e6 / each))
        for number, (start, _, took) in enumerate(rows)
    )
    return {f"p{part:g}_ms": round(late[int(count * part / 100)] / 1e3, 3) for part in PERCENTILES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="express,fastify")
    parser.add_argument("--works", default="W1,W2,W4")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--out", type=Path, help="without its suffix: the result as .json, the plot as .svg")
    options = parser.parse_args()
    refuse_leftovers()
    install_load_generator()
    install_load_generator("h2load", "nghttp2-client")
    peers = options.peers.split(",")
    versions = install(peers)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name, postgres() as server, redis_server() as kept:
        folder = Path(name)
        bench = Bench(server, kept.url, folder, {OURS: str(ROOT / "src")})
        bench.fill()
        for work in options.works.split(","):
            found[work] = {}
            for contender in (OURS, *peers):
                with serving(contender, folder, bench.environment(work), f"{ROOT / 'src'},REDIS_URL=") as one:
                    subjects = asyncio.run(subjects_for(one))
                    script = subjects.as_lua() + SCRIPTS[work]
                    load(one.url, script, 2, folder)
                    peak = load(one.url, script, 4, folder)["rate"]
                    arrivals = {
                        f"{part:.0%}": arrive(
                            one, error_paths(work, subjects), subjects.tokens[0], peak * part, options.seconds, folder
                        )
                        for part in PARTS
                    }
                found[work][contender] = {"peak": round(peak), **arrivals}
                print(work, contender, found[work][contender], flush=True)
    if options.out is not None:
        keep(options.out, __doc__, versions=versions, works=found)
        ticks = [f"{part:.0%}" for part in PARTS]
        series = {
            f"{contender} {work}": [found[work][contender][tick]["p99_ms"] for tick in ticks]
            for work in ("W2",)
            for contender in found[work]
        }
        chart = line_chart(
            "A product by its id, at a part of one's own peak",
            "p99 in ms, from when it should have been sent",
            ticks,
            series,
        )
        options.out.with_suffix(".svg").write_text(chart)


if __name__ == "__main__":
    main()
