"""``restwell doctor``: what is wrong with the settings, the servers and the machine, each with its cure."""

import sys
from typing import Annotated, Final

import msgspec
import typer

from restwell._cli.loading import create_app_to_inspect, load_project
from restwell._terminal import printable

EXIT_FINDINGS: Final = 1


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check settings, servers, machine and routes; exit code 1 if there is an error or a warning."""
    import asyncio
    import logging

    import structlog

    from restwell._doctor._checks import CHECKS, examine

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # standard output is the
    logging.disable()  # report, and what a server answers is in it
    findings = asyncio.run(examine(load_project(), create_app_to_inspect))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(findings), indent=2) + b"\n")
    else:
        for finding in findings:
            print(printable(f"{finding.level:<8} {finding.place}: {finding.message}"))
        print(f"{len(CHECKS)} checks, {len(findings)} finding{'' if len(findings) == 1 else 's'}")
    if any(finding.level != "hint" for finding in findings):
        raise SystemExit(EXIT_FINDINGS)
