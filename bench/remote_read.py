"""A product read from this service and from the catalogue over gRPC: ``python bench/remote_read.py``.

One read at a time, without the cache, in rounds that alternate; both databases are SQLite. Processor time is that of
both processes. The result is the minimum of the rounds: on a busy machine only the ratio counts.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr

BENCH = Path(__file__).parent
sys.path += [str(BENCH.parent / "tests/support"), str(BENCH.parent / "shop/tests/support")]

from case_study.strangler import Catalogue  # noqa: E402  # after the path is set; test helpers
from process_tree import clean_up_at_exit, server_cpu_seconds  # noqa: E402
from processes import descendants_of  # noqa: E402
from restwell.grpc import GrpcClient  # noqa: E402
from restwell.settings import DatabaseSettings  # noqa: E402
from restwell.testing import running  # noqa: E402
from results_file import save_result  # noqa: E402
from servers import RESTWELL, free_port, restwell, serve  # noqa: E402
from shop.app import create_app  # noqa: E402
from shop.demo import catalogue  # noqa: E402
from shop.products.service import ProductService  # noqa: E402
from shop.settings import ShopSettings  # noqa: E402
from shop.v1.catalog_pb2_grpc import CatalogServiceStub  # noqa: E402

Read = Callable[[UUID], Awaitable[object]]


async def measure(url: str, port: int, server: int, reads: int, rounds: int) -> dict[str, dict[str, float]]:
    ids = [row["id"] for row in catalogue()]
    app = create_app(ShopSettings(database=DatabaseSettings(url=SecretStr(url))))
    client = GrpcClient(CatalogServiceStub, f"grpc://127.0.0.1:{port}")
    ways: dict[str, Read] = {"local": app.service(ProductService).get_product, "remote": Catalogue(client).get}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}

    def processor() -> float:
        return time.process_time() + server_cpu_seconds(server, *descendants_of(server))

    async with running(app):
        for number in range(rounds + 1):  # the first is a warm-up
            for name, read in ways.items():
                began, used = time.perf_counter(), processor()
                for count in range(reads):
                    await read(ids[count % len(ids)])
                figures = (time.perf_counter() - began) / reads, (processor() - used) / reads
                if number:
                    found[name].append(figures)
        await client.close()
    return {
        name: {
            "us": round(min(each[0] for each in all_of) * 1e6),
            "cpu_us": round(min(each[1] for each in all_of) * 1e6),
        }
        for name, all_of in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="path without a suffix")
    options = parser.parse_args()
    clean_up_at_exit()
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        settings = {"DATABASE_URL": f"sqlite:///{folder / 'shop.db'}", "RESTWELL_APP": "shop.app:shop"}
        settings |= {
            "GRPC_PORT": str(port),
            "LOG_LEVEL": "warning",
            "PAYMENTS_URL": f"fake:///{folder / 'payments.db'}",
        }
        for command in ("migrate", "seed"):
            restwell(command, cwd=folder, **settings).check_returncode()
        with serve(folder, RESTWELL, "serve", cwd=folder, **settings) as served:
            url = settings["DATABASE_URL"]
            found = asyncio.run(measure(url, port, served.process.pid, options.reads, options.rounds))
    print(found)
    if options.out is not None:
        save_result(options.out, __doc__, **found)


if __name__ == "__main__":
    main()
