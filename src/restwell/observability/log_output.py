"""Log lines on their way to standard output: a bounded buffer, and one thread of each process that writes it.

Who logs never waits for the reader and never sees an error of it: a full disk, a reader that is gone or one that does not read costs
lines, which are counted, and nothing else.
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
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

log = structlog.get_logger("restwell.logs")

BUFFER_LINES: Final = 10_000
BUFFER_BYTES: Final = 4 * 2**20
"""Of texts; a line that is a Struct is short."""
FLUSH_SECONDS: Final = 0.1
"""The longest a line waits for others: a system call for each would cost more than they do."""
AGAIN_SECONDS: Final = 0.01
EXIT_SECONDS: Final = 1.0
"""How long a process that ends may take to write what it still has."""

_SOON: Final = True
_encoder: Final = msgspec.json.Encoder(enc_hook=repr)


class LogOutput:
    """The lines of this process, in the order in which they came. A forked process begins with none."""

    dropped: int
    """So many lines were not written: the buffer was full, or standard output failed."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self.dropped = 0
        self._reported = 0
        self._torn = False
        self._lines: deque[Struct | bytes] = deque()
        self._bytes = 0
        # Both may be entered again by a line that the garbage collector or a signal's handler logs.
        self._lock = threading.RLock()
        self._wakes: SimpleQueue[bool] = SimpleQueue()
        self._asleep = True
        self._busy = False
        self._thread: threading.Thread | None = None

    def write(self, line: Struct) -> None:
        """Take a line, which is encoded as JSON when it is written, with those that come within FLUSH_SECONDS. Never raises, never waits."""
        lines = self._lines
        if len(lines) >= BUFFER_LINES:
            self._lose(1)
            return
        lines.append(line)
        if self._asleep:
            self._wake(soon=False)

    def write_text(self, text: str) -> None:
        """Take a line of text, and write all there is at once. Never raises, never waits."""
        line = text.encode("utf-8", "backslashreplace")
        with self._lock:
            if len(self._lines) >= BUFFER_LINES or self._bytes + len(line) > BUFFER_BYTES:
                self.dropped += 1
                return
            self._bytes += len(line)
            self._lines.append(line)
        self._wake(soon=True)

    def flush(self, seconds: float = EXIT_SECONDS) -> None:
        """Wait until all is written or lost, but not longer."""
        deadline = time.monotonic() + seconds
        self._wakes.put(_SOON)
        while (self._lines or self._busy) and time.monotonic() < deadline:
            time.sleep(0.001)

    def _wake(self, *, soon: bool) -> None:
        if self._thread is not None or self._start():
            self._asleep = False
            self._wakes.put(soon)

    def _start(self) -> bool:
        with self._lock:
            if self._thread is not None:
                return True
            self._thread = threading.Thread(target=self._write_for_ever, name="log", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no more threads, or the interpreter ends; the next line tries again
                self._thread = None
                return False
        Finalize(None, self.flush, exitpriority=-1)  # in forked processes too, where atexit is not called
        return True

    def _write_for_ever(self) -> None:
        while True:
            if not self._wakes.get():
                with suppress(Empty):
                    self._wakes.get(timeout=FLUSH_SECONDS)
            self._busy = True
            self._asleep = True  # before we look: whoever comes after it wakes us
            self._write_all()
            self._busy = False

    def _write_all(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        data = _joined(lines)
        taken = self._put(data)
        texts = sum(len(line) for line in lines if isinstance(line, bytes))
        if texts:
            with self._lock:
                self._bytes -= texts
        if taken < len(data):
            self._lose(data.count(b"\n", taken))
        elif self.dropped != self._reported:
            self._reported = self.dropped
            log.warning("log_lines_dropped", total=self.dropped)

    def _lose(self, count: int) -> None:
        with self._lock:
            self.dropped += count

    def _put(self, data: bytes) -> int:
        """How much of it standard output has taken."""
        stream = sys.stdout
        if stream is None:  # it was closed when the process began
            return 0
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError):
            return _put_into(stream, data)
        done = 0
        try:
            if self._torn:
                os.write(descriptor, b"\n")
                self._torn = False
            while done < len(data):
                try:
                    done += os.write(descriptor, memoryview(data)[done:])
                except BlockingIOError:  # whoever shares it has made it so
                    time.sleep(AGAIN_SECONDS)
        except OSError:
            self._torn = self._torn or (done > 0 and data[done - 1] != ord("\n"))
        return done


def _put_into(stream: Any, data: bytes) -> int:
    """Into what stands in for standard output, a text stream without a file."""
    try:
        stream.write(data.decode())
        stream.flush()
    except (OSError, ValueError):
        return 0
    return len(data)


def _joined(lines: Sequence[Struct | bytes]) -> bytes:
    try:
        if not any(isinstance(line, bytes) for line in lines):
            return _encoder.encode_lines(lines)
    except Exception:  # noqa: BLE001, S110  # one of them holds what JSON cannot; which, is found below
        pass
    return b"".join(
        (line if isinstance(line, bytes) else to_json(msgspec.structs.asdict(line))) + b"\n" for line in lines
    )


def to_json(values: Mapping[str, Any]) -> bytes:
    """A line as JSON. What JSON cannot hold, or of which there is no text, is told as well as may be; nothing is raised."""
    try:
        return _encoder.encode(values)
    except Exception:  # noqa: BLE001  # a value may be of any class
        return _encoder.encode({_text(name): msgspec.Raw(_value(value)) for name, value in values.items()})


def _value(value: object) -> bytes:
    try:
        return _encoder.encode(value)
    except Exception:  # noqa: BLE001  # as above
        return _encoder.encode(_text(value))


def _text(value: object) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001  # as above
        text = f"<{type(value).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


class DroppedLinesCollector(Collector):
    """How many lines this process has lost, as a metric."""

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "restwell_log_lines_dropped",
            "Log lines that were not written: standard output was full, failed, or was not read.",
            value=output.dropped,
        )


output: Final = LogOutput()
