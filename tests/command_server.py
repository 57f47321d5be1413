"""Runs ``restwell`` commands, each in a process of its own that is forked once everything is imported: many in the time of a few.

A case is a line of JSON on standard input: arguments, folder, environment, and whether files may have a size. So is what came of it.
"""

import json
import os
import resource
import sys
import tempfile
from typing import Any

import restwell.cli


def main() -> None:
    for line in sys.stdin:
        case = json.loads(line)
        outputs = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            run(case, *(writer for _, writer in outputs))
        for _, writer in outputs:
            os.close(writer)
        texts = [written(reader) for reader, _ in outputs]
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([code, *texts]), flush=True)  # noqa: T201  # to the test that asked


def run(case: dict[str, Any], stdout: int, stderr: int) -> None:
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    code = 99
    try:
        os.chdir(case["folder"])
        os.environ.update(case["environment"])
        sys.path[:0] = case["environment"].get("PYTHONPATH", "").split(":")
        sys.argv = ["restwell", *case["arguments"]]
        tempfile.tempdir = None
        if case["full"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # Python ignores the signal
        restwell.cli.main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  # as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def written(reader: int) -> str:
    with open(reader, encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    main()
