"""Runs ``restwell`` commands, each in a process forked from this one, which has imported everything.

Standard input is a socket. A message is a command as JSON (module, arguments, folder, environment, and whether file
writes fail) with four file descriptors: for the report, and the standard input, output and error of the command.
The report has two numbers: the id of the process, which leads a session, and at the end its exit code.
"""

import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from typing import Any

from commands import NUMBER
from restwell._cli import new_cli

LONGEST = 2**20
RUN_BY_COMMANDS = ("restwell._server", "restwell._startup", "restwell._supervisor")


def main() -> None:
    new_cli()
    for module in (*RUN_BY_COMMANDS, *sys.argv[1:]):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=0) as requests:
        while True:
            message, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 4)
            _reap()
            if not message:
                return
            if os.fork() == 0:
                requests.close()
                run_and_report(json.loads(message), *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


def _reap() -> None:
    """Collect the processes that have reported."""
    with suppress(ChildProcessError):  # none is left
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def run_and_report(case: dict[str, Any], report: int, *outputs: int) -> None:
    child = os.fork()
    if child == 0:
        os.close(report)
        run(case, outputs)
    for descriptor in outputs:
        os.close(descriptor)
    with suppress(BrokenPipeError):  # the test has ended
        os.write(report, NUMBER.pack(child))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(report, NUMBER.pack(code))
    os._exit(0)


def run(case: dict[str, Any], outputs: tuple[int, ...]) -> None:
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN if case["nohup"] else signal.SIG_DFL)
    for number, descriptor in enumerate(outputs):
        os.dup2(descriptor, number)
        os.close(descriptor)
    code = 99
    try:
        os.chdir(case["folder"])
        os.environ.clear()
        os.environ.update(case["environment"])
        if path := os.environ.get("PYTHONPATH"):
            sys.path[:0] = path.split(":")
        importlib.invalidate_caches()
        sys.argv = ["restwell", *case["arguments"]]
        tempfile.tempdir = None
        if case["full"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # Python ignores the signal
        importlib.import_module(case["module"]).main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001  # as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
