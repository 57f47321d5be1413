"""The guide's case study: ``python bench/case_study/run.py`` fixes the shop of ``before.py`` step by step and measures
each step.

The load is 32 connections that request product lists, products, order lists and, one time in twenty, place an order
whose mail takes the mail server 0.1 s. The database has 100,000 products and orders on PostgreSQL. From the step "jobs"
a worker sends the mails.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

BENCH = Path(__file__).parents[1]
sys.path += [str(BENCH), str(BENCH.parent / "tests/support"), str(BENCH.parent / "shop/tests/support")]

import mail_server as mails  # noqa: E402  # after the path is set; test helpers
from case_study.before import Step  # noqa: E402
from chart import bar_chart  # noqa: E402
from contenders import RESTWELL, ROOT, serving  # noqa: E402
from process_tree import ProcessTree, check_no_leftovers, clean_up_at_exit  # noqa: E402
from results_file import save_result  # noqa: E402
from routes import Run, install_load_generator, load  # noqa: E402
from servers import postgres, restwell  # noqa: E402
from workloads import CASE_STUDY, add_users, request_data_for  # noqa: E402

ROWS = 100_000
MAIL_SECONDS = 0.1
TITLES = {
    Step.BEFORE: "before",
    Step.INDEXES: "indexes, cursors",
    Step.JOINS: "no N+1",
    Step.CACHE: "cache",
    Step.JOBS: "jobs",
    Step.WORKERS: "workers",
}
WITHOUT_INDEXES = (
    "ALTER TABLE order_lines DROP CONSTRAINT order_lines_user_id_order_id_fkey",
    "ALTER TABLE order_lines DROP CONSTRAINT order_lines_pkey",
    "ALTER TABLE orders DROP CONSTRAINT orders_pkey",
    "DROP INDEX order_lines_by_order",
    "DROP INDEX products_by_created_at, products_by_name, products_by_price",
    "DROP INDEX products_by_category_and_created_at, products_by_category_and_name, products_by_category_and_price",
)
INDEXES = (
    "ALTER TABLE orders ADD PRIMARY KEY (user_id, id)",
    "ALTER TABLE order_lines ADD PRIMARY KEY (user_id, order_id, position)",
    "CREATE INDEX order_lines_by_order ON order_lines (order_id)",
    "CREATE INDEX products_by_created_at ON products (created_at, id)",
    "CREATE INDEX products_by_category_and_created_at ON products (category, created_at, id)",
    "VACUUM ANALYZE",
)


class SlowMail(mails.MailServer):
    """A mail server with the delay of a remote one."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(MAIL_SECONDS)
        return await super().handle_DATA(server, session, envelope)


@contextmanager
def working(environment: dict[str, str]) -> Iterator[None]:
    """Run a worker next to the server."""
    env = {
        **os.environ,
        **environment,
        "PYTHONPATH": f"{ROOT / 'src'}:{BENCH}",
        "RESTWELL_APP": "case_study.before:shop",
    }
    command = [sys.executable, "-m", "restwell", "worker"]
    process_tree = ProcessTree()
    process = subprocess.Popen(
        command, env=process_tree.environment(env), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process_tree.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="path without a suffix: .json for the result, .svg for the chart")
    options = parser.parse_args()
    check_no_leftovers()
    clean_up_at_exit()
    install_load_generator()
    cores = ",".join(map(str, range(os.cpu_count() or 1)))
    found: dict[str, Run] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgres())
        mail = stack.enter_context(mails.mail_server(None, handler=SlowMail()))
        environment = {
            "DATABASE_URL": server.url,
            "SMTP_URL": f"smtp://127.0.0.1:{mail.port}",
            "FILES_DIR": str(folder),
        }
        for command in (["migrate"], ["seed"], ["seed", f"--rows={ROWS}"]):
            restwell(*command, cwd=ROOT, **environment, RESTWELL_APP="shop.app:shop").check_returncode()
        add_users(server)
        for statement in WITHOUT_INDEXES:
            server.run_sql(statement)
        for step in Step:
            if step == Step.INDEXES:
                for statement in INDEXES:
                    server.run_sql(statement)
            step_env = {"STEP": str(step.value), "CACHE": "on" if step >= Step.CACHE else "off"}
            source = f"{ROOT / 'src'}:{BENCH},RESTWELL_APP=case_study.before:shop"
            workers = os.cpu_count() or 1 if step == Step.WORKERS else 1
            with ExitStack() as step_stack:
                if step >= Step.JOBS:
                    step_stack.enter_context(working({**environment, **step_env}))
                one = step_stack.enter_context(
                    serving(RESTWELL, folder, {**environment, **step_env}, source, cores=cores, workers=workers)
                )
                script = asyncio.run(request_data_for(one)).as_lua() + CASE_STUDY
                load(one.url, script, 3, folder, cores, may_fail=True)
                runs = [
                    load(one.url, script, options.seconds, folder, cores, may_fail=True) for _ in range(options.rounds)
                ]
            found[TITLES[step]] = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            result = found[TITLES[step]]
            print(
                f"{TITLES[step]:<18} {result['rate']:7,.0f}/s"
                f"   p50 {result['p50_ms']:7.1f}   p95 {result['p95_ms']:7.1f} ms",
                flush=True,
            )
    if options.out is not None:
        save_result(options.out, __doc__, steps=found)
        first = found[TITLES[Step.BEFORE]]
        series = {
            "requests per second": [one["rate"] / first["rate"] for one in found.values()],
            "p95": [first["p95_ms"] / one["p95_ms"] for one in found.values()],
        }
        chart = bar_chart("The case study, step by step", "improvement factor", list(found), series)
        options.out.with_suffix(".svg").write_text(chart)


if __name__ == "__main__":
    main()
