"""The ``restwell`` command, and ``python -m restwell``.

A process that is the first in its container is not ended by SIGTERM until it says what is to happen then. So that is said before
anything else is imported, which takes most of a second. A standard stream that is closed is opened on the null device before any other
file is opened, which would get its number.
"""

import os
import signal
import sys
from types import FrameType

TERMINATED = 128 + signal.SIGTERM
"""The exit code of a command that is told to stop before it has begun, as a shell tells of it."""


def main() -> None:
    """The entry point of the console script."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end)
    for ignored in (signal.SIGUSR1, signal.SIGUSR2):  # in all processes that come of this one too
        signal.signal(ignored, signal.SIG_IGN)
    open_closed_streams()

    from restwell.cli import main as run  # noqa: PLC0415  # see above

    run()


def open_closed_streams() -> None:
    """Open each of standard input, output and error that was closed when this process began, for its children too."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115  # it gets the lowest free number
            os.set_inheritable(stream.fileno(), True)  # noqa: FBT003  # takes it by position only
            setattr(sys, name, stream)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(TERMINATED)


if __name__ == "__main__":
    main()
