"""Writes log lines to standard output, or standard error, through a bounded buffer and one writer thread per process.

Logging never blocks and never raises. If standard output is full, closed or not read, lines are dropped and counted.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.util import Finalize
from queue import Empty, SimpleQueue
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.observability._metric_families import define_counter

log = structlog.get_logger("restwell.logs")

BUFFER_LINES: Final = 10_000
BUFFER_BYTES: Final = 4 * 2**20
"""The limit for lines of text. Lines that are Structs are small and count by number only."""
FLUSH_SECONDS: Final = 0.1
"""The longest delay of a line, so that one system call writes many."""
RETRY_SECONDS: Final = 0.01
EXIT_SECONDS: Final = 1.0
"""The time limit for the flush at process exit."""

_IMMEDIATELY: Final = True
_encoder: Final = msgspec.json.Encoder(enc_hook=repr)


LINES_DROPPED: Final = define_counter(
    "restwell_log_lines_dropped_total", "Log lines dropped because standard output was full, failed, or was not read."
)


class LogOutput(Collector):
    """The ordered log buffer of this process. A forked process starts with an empty one."""

    dropped: int
    """The number of dropped lines: the buffer was full, or standard output failed."""

    def __init__(self) -> None:
        self.stream = "stdout"
        """Or ``stderr``: the stream of ``sys`` that lines are written to."""
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self.dropped = 0
        self._reported = 0
        self._partial_line = False
        self._lines: deque[Struct | bytes] = deque()
        self._bytes = 0
        # Reentrant: the garbage collector or a signal handler may log while the lock is held.
        self._lock = threading.RLock()
        self._wake_queue: SimpleQueue[bool] = SimpleQueue()
        self._idle = True
        self._writing = False
        self._thread: threading.Thread | None = None

    def collect(self) -> Iterator[Metric]:
        yield LINES_DROPPED.family(self.dropped)

    def write(self, line: Struct) -> None:
        """Buffer a line. The writer encodes it as JSON within FLUSH_SECONDS. Never raises, never blocks."""
        lines = self._lines
        if len(lines) >= BUFFER_LINES:
            self._drop(1)
            return
        lines.append(line)
        if self._idle:
            self._wake(immediately=False)

    def write_text(self, text: str) -> None:
        """Buffer a line of text and wake the writer immediately. Never raises, never blocks."""
        line = text.encode("utf-8", "backslashreplace")
        with self._lock:
            if len(self._lines) >= BUFFER_LINES or self._bytes + len(line) > BUFFER_BYTES:
                self.dropped += 1
                return
            self._bytes += len(line)
            self._lines.append(line)
        self._wake(immediately=True)

    def flush(self, seconds: float = EXIT_SECONDS) -> None:
        """Wait until the buffer is empty, or until ``seconds`` have passed."""
        deadline = time.monotonic() + seconds
        self._wake_queue.put(_IMMEDIATELY)
        while (self._lines or self._writing) and time.monotonic() < deadline:
            time.sleep(0.001)

    def _wake(self, *, immediately: bool) -> None:
        if self._thread is not None or self._start():
            self._idle = False
            self._wake_queue.put(immediately)

    def _start(self) -> bool:
        with self._lock:
            if self._thread is not None:
                return True
            self._thread = threading.Thread(target=self._run_writer, name="log", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # out of threads, or the interpreter shuts down; the next line retries
                self._thread = None
                return False
        Finalize(None, self.flush, exitpriority=-1)  # also runs in forked processes, which do not call atexit
        return True

    def _run_writer(self) -> None:
        while True:
            if not self._wake_queue.get():
                with suppress(Empty):
                    self._wake_queue.get(timeout=FLUSH_SECONDS)
            self._writing = True
            self._idle = True  # before the buffer is read, so that a later line wakes this thread
            self._write_all()
            self._writing = False

    def _write_all(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        data = _encode_lines(lines)
        written = self._write_bytes(data)
        texts = sum(len(line) for line in lines if isinstance(line, bytes))
        if texts:
            with self._lock:
                self._bytes -= texts
        if written < len(data):
            self._drop(data.count(b"\n", written))
        elif self.dropped != self._reported:
            self._reported = self.dropped
            log.warning("log_lines_dropped", total=self.dropped)

    def _drop(self, count: int) -> None:
        with self._lock:
            self.dropped += count

    def _write_bytes(self, data: bytes) -> int:
        """Write to the stream. Returns the number of bytes written."""
        stream = getattr(sys, self.stream)
        if stream is None:  # it was closed when the process started
            return 0
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError):
            return _write_to_stream(stream, data)
        written = 0
        try:
            if self._partial_line:
                os.write(descriptor, b"\n")
                self._partial_line = False
            while written < len(data):
                try:
                    written += os.write(descriptor, memoryview(data)[written:])
                except BlockingIOError:  # a process that shares the pipe made it non-blocking
                    time.sleep(RETRY_SECONDS)
        except OSError:
            self._partial_line = self._partial_line or (written > 0 and data[written - 1] != ord("\n"))
        return written


def _write_to_stream(stream: Any, data: bytes) -> int:
    """Write to a replacement of standard output, a text stream without a file descriptor."""
    try:
        stream.write(data.decode())
        stream.flush()
    except (OSError, ValueError):
        return 0
    return len(data)


def _encode_lines(lines: Sequence[Struct | bytes]) -> bytes:
    try:
        if not any(isinstance(line, bytes) for line in lines):
            return _encoder.encode_lines(lines)
    except Exception:  # noqa: BLE001, S110  # a value is not serializable; each line is encoded on its own below
        pass
    return b"".join(
        (line if isinstance(line, bytes) else to_json(msgspec.structs.asdict(line))) + b"\n" for line in lines
    )


def to_json(values: Mapping[str, Any]) -> bytes:
    """Encode a line as JSON. A value that is not serializable becomes its ``repr``, or its type name. Never raises."""
    try:
        return _encoder.encode(values)
    except Exception:  # noqa: BLE001  # the value may be of any class
        return _encoder.encode({_to_text(name): msgspec.Raw(_encode_value(value)) for name, value in values.items()})


def _encode_value(value: object) -> bytes:
    try:
        return _encoder.encode(value)
    except Exception:  # noqa: BLE001  # as above
        return _encoder.encode(_to_text(value))


def _to_text(value: object) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001  # as above
        text = f"<{type(value).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


output: Final = LogOutput()
