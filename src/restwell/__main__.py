"""The ``restwell`` command, and ``python -m restwell``.

As process 1 of a container it runs the command in a child process: the kernel ignores signals that process 1 has no
handler for, and makes it the parent of orphans, which stay zombies until it waits for them.

A closed standard stream is opened on the null device first, because the next file would get its descriptor.
"""

import os
import signal
import sys

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def main() -> None:
    """The entry point of the console script."""
    if os.getpid() == 1:
        continue_in_child()
    for ignored in (signal.SIGUSR1, signal.SIGUSR2):  # child processes inherit it
        signal.signal(ignored, signal.SIG_IGN)
    open_closed_streams()
    from restwell._cli import main as run_command  # noqa: PLC0415  # see above

    run_command()


def open_closed_streams() -> None:
    """Open each standard stream that was closed at the start of this process, for its children too."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It gets the lowest free descriptor, and stays open until the process ends.
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115  # see above; pathlib is not imported yet
            os.set_inheritable(stream.fileno(), True)  # noqa: FBT003  # positional only
            setattr(sys, name, stream)


def continue_in_child() -> None:
    """Fork, and return in the child. This process forwards signals to it, reaps orphans, and exits when it exits."""
    handled = {*FORWARDED, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
        return
    while True:
        received = signal.sigwaitinfo(handled)
        if received.si_signo != signal.SIGCHLD:
            if received.si_code <= 0:  # from a process; the terminal has sent its signals to the child too
                os.kill(child, received.si_signo)
            continue
        pid, status = os.waitpid(-1, os.WNOHANG)
        while pid != 0:
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)  # as a shell reports a signal
            pid, status = os.waitpid(-1, os.WNOHANG)


if __name__ == "__main__":
    main()
