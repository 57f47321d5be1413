"""Latency at a constant arrival rate (open loop): ``python bench/latency.py --out bench/results/latency``.

h2load sends bursts of one request per connection, at 50, 80 and 95% of the peak that wrk has just measured for the same
contender. The latency counts from the intended send time, which corrects coordinated omission. Reads only: W1, W2 and
W4, as in ``routes.py``, one core each.
"""

import argparse
import asyncio
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from chart import line_chart
from contenders import RESTWELL, ROOT, RunningContender, install, serving
from process_tree import check_no_leftovers, clean_up_at_exit
from results_file import save_result
from routes import CONNECTIONS, Bench, Run, install_load_generator, load
from servers import postgres, redis_server
from workloads import SCRIPTS, RequestData, request_data_for

FRACTIONS = (0.5, 0.8, 0.95)
PERCENTILES = (50, 99, 99.9)


def paths_for(workload: str, data: RequestData) -> list[str]:
    if workload == "W2":
        return [f"/v1/products/{one}" for one in data.ids]
    return ["/v1/users/me" if workload == "W4" else "/v1/products?limit=20"]


def send_at_rate(one: RunningContender, paths: list[str], token: str, rate: float, seconds: int, folder: Path) -> Run:
    """Send at a rate in requests per second.

    Returns latency percentiles in milliseconds, from the intended send time.
    """
    paths_file, log = folder / "paths.txt", folder / "h2load.tsv"
    paths_file.write_text("".join(f"{one.url}{path}\n" for path in paths))
    log.unlink(missing_ok=True)
    rate_per_connection = rate / CONNECTIONS
    command = [
        "taskset",
        "-c",
        "1",
        "h2load",
        "--h1",
        f"--clients={CONNECTIONS}",
        f"--rps={rate_per_connection:.3f}",
        f"--input-file={paths_file}",
    ]
    count = int(rate * seconds)
    command += [f"--requests={count}", f"--log-file={log}", f"--header=authorization: Bearer {token}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rows = sorted(tuple(map(int, line.split("\t")[:3])) for line in log.read_text().splitlines())
    assert len(rows) == count
    assert all(status == 200 for _, status, _ in rows), "only successful responses are timed"  # OK
    first = rows[0][0]
    latencies = sorted(
        max(duration, start + duration - (first + number // CONNECTIONS * 1e6 / rate_per_connection))
        for number, (start, _, duration) in enumerate(rows)
    )
    return {f"p{fraction:g}_ms": round(latencies[int(count * fraction / 100)] / 1e3, 3) for fraction in PERCENTILES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="express,fastify")
    parser.add_argument("--works", default="W1,W2,W4")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--out", type=Path, help="path without a suffix: .json for the result, .svg for the chart")
    options = parser.parse_args()
    check_no_leftovers()
    clean_up_at_exit()
    install_load_generator()
    install_load_generator("h2load", "nghttp2-client")
    peers = options.peers.split(",")
    versions = install(peers)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name, postgres() as server, redis_server() as redis:
        folder = Path(name)
        bench = Bench(server, redis.url, folder, {RESTWELL: str(ROOT / "src")})
        bench.fill()
        for workload in options.workloads.split(","):
            found[workload] = {}
            for contender in (RESTWELL, *peers):
                with serving(contender, folder, bench.environment(workload), f"{ROOT / 'src'},REDIS_URL=") as one:
                    data = asyncio.run(request_data_for(one))
                    script = data.as_lua() + SCRIPTS[workload]
                    load(one.url, script, 2, folder)
                    peak = load(one.url, script, 4, folder)["rate"]
                    arrivals = {
                        f"{fraction:.0%}": send_at_rate(
                            one, paths_for(workload, data), data.tokens[0], peak * fraction, options.seconds, folder
                        )
                        for fraction in FRACTIONS
                    }
                found[workload][contender] = {"peak": round(peak), **arrivals}
                print(workload, contender, found[workload][contender], flush=True)
    if options.out is not None:
        save_result(options.out, __doc__, versions=versions, workloads=found)
        ticks = [f"{fraction:.0%}" for fraction in FRACTIONS]
        series = {
            f"{contender} {workload}": [found[workload][contender][tick]["p99_ms"] for tick in ticks]
            for workload in ("W2",)
            for contender in found[workload]
        }
        chart = line_chart(
            "Product by id, at a fraction of the peak throughput",
            "p99 in ms, from the intended send time",
            ticks,
            series,
        )
        options.out.with_suffix(".svg").write_text(chart)


if __name__ == "__main__":
    main()
