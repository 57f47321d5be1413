"""Runs ``restwell`` commands, each in a process forked from this one, which has imported everything.

A command is a line of JSON on standard input: arguments, folder, environment, its
standard input, and whether file writes fail.
The result is a line of JSON on standard output: exit code, standard output, standard error.
"""

import importlib
import json
import os
import resource
import select
import sys
import tempfile
from typing import Any

import restwell._cli


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        case = json.loads(line)
        outputs = os.pipe(), os.pipe()  # pipes, because file writes may fail
        child = os.fork()
        if child == 0:
            run(case, *(writer for _, writer in outputs))
        for _, writer in outputs:
            os.close(writer)
        texts = written(*(reader for reader, _ in outputs))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([code, *texts]), flush=True)  # noqa: T201  # to the test that asked


def written(*readers: int) -> list[str]:
    """The output of each reader, until all are closed."""
    texts = dict.fromkeys(readers, b"")
    left = set(readers)
    while left:
        for reader in select.select(left, [], [])[0]:
            if piece := os.read(reader, 65_536):
                texts[reader] += piece
            else:
                os.close(reader)
                left.remove(reader)
    return [text.decode() for text in texts.values()]


def run(case: dict[str, Any], stdout: int, stderr: int) -> None:
    reader, writer = os.pipe()
    os.write(writer, case["stdin"].encode())
    os.close(writer)
    os.dup2(reader, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
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
        restwell._cli.main()
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
