"""The ``restwell`` command, and ``python -m restwell``.

The kernel ignores SIGTERM for process 1 of a container that has no handler. So the handler is set before the imports,
which take most of a second. A closed standard stream is opened on the null device first, because the next file would
get its descriptor.
"""

import os
import signal
import sys
from types import FrameType

TERMINATED = 128 + signal.SIGTERM
"""The exit code of a command that SIGTERM stops before it has started (shell convention)."""


def main() -> None:
    """The entry point of the console script."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _exit)
    for ignored in (signal.SIGUSR1, signal.SIGUSR2):  # child processes inherit it
        signal.signal(ignored, signal.SIG_IGN)
    open_closed_streams()

    from restwell._cli import main as run  # noqa: PLC0415  # see above

    run()


def open_closed_streams() -> None:
    """Open each standard stream that was closed at the start of this process, for its children too."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It gets the lowest free descriptor, and stays open until the process ends.
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115  # see above; pathlib is not imported yet
            os.set_inheritable(stream.fileno(), True)  # noqa: FBT003  # positional only
            setattr(sys, name, stream)


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(TERMINATED)


if __name__ == "__main__":
    main()
