"""A receiver of OTLP over HTTP in a process: ``python otlp_receiver.py PORT FILE STATUS SECONDS RETRY_AFTER``.

It appends a line of JSON to the file for each request: path, headers, resource and spans. It responds with the status,
after so many seconds.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from servers import free_port, listens, wait_until


def main(port: str, file: str, status: str, seconds: str, retry_after: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that the server calls
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(float(seconds))
            line = {
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                **_decoded(body),
            }
            with Path(file).open("a") as out:
                out.write(json.dumps(line) + "\n")
            self.send_response(int(status))
            self.send_header("content-length", "0")
            if retry_after:
                self.send_header("retry-after", retry_after)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


def _decoded(body: bytes) -> dict[str, Any]:
    (resource_spans,) = ExportTraceServiceRequest.FromString(body).resource_spans
    return {
        "resource": _attributes(resource_spans.resource.attributes),
        "spans": [
            {
                "name": span.name,
                "kind": span.kind,
                "trace_id": span.trace_id.hex(),
                "span_id": span.span_id.hex(),
                "parent_id": span.parent_span_id.hex(),
                "start": span.start_time_unix_nano / 1e9,
                "end": span.end_time_unix_nano / 1e9,
                "status": span.status.code,
                "tracestate": span.trace_state,
                "attributes": _attributes(span.attributes),
            }
            for scope in resource_spans.scope_spans
            for span in scope.spans
        ],
    }


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class Receiver:
    def __init__(self, port: int, file: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._file = file

    @property
    def text(self) -> str:
        return self._file.read_text() if self._file.exists() else ""

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [span for request in self.requests for span in request["spans"]]


@contextmanager
def receiving(folder: Path, *, status: int = 200, seconds: float = 0.0, retry_after: str = "") -> Iterator[Receiver]:
    folder.mkdir(exist_ok=True)
    port, file = free_port(), folder / "received.jsonl"
    command = [sys.executable, __file__, str(port), str(file), str(status), str(seconds), retry_after]
    process = subprocess.Popen(command, cwd=Path(__file__).parent)
    try:
        wait_until(lambda: listens(port), process)
        yield Receiver(port, file)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
