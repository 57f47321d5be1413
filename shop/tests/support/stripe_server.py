"""A fake Stripe server: the part of the PaymentIntents API that the shop uses, with fault injection.

Implements https://docs.stripe.com/api: idempotency keys repeat the first response, and final states do not change.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

KEY = "sk_test_of_the_shop"
Answer = tuple[int, dict[str, Any]]


class StripeServer:
    """``movements`` lists charges and refunds. ``faults`` holds the next faults: a status, or ``lost``.

    ``lost`` drops the response after execution. With ``declines``, payments are declined.
    """

    def __init__(self) -> None:
        self.payments: dict[str, dict[str, Any]] = {}
        self.movements: list[tuple[str, int]] = []
        self.faults: list[int | str] = []
        self.declines = False
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.lock = threading.Lock()
        self.port = 0
        self._answers: dict[str, tuple[dict[str, str], Answer]] = {}

    @property
    def url(self) -> str:
        return f"http://{KEY}@127.0.0.1:{self.port}?payment_method=pm_card_visa"

    def answer(self, path: str, headers: dict[str, str], form: dict[str, str]) -> Answer:
        self.requests.append((path, headers, form))
        if headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"error": {"type": "invalid_request_error", "code": "api_key_invalid"}}
        key = headers.get("idempotency-key")
        if key is None:
            return self._do(path, form)
        if key not in self._answers:
            self._answers[key] = (form, self._do(path, form))
        first, answer = self._answers[key]
        if first != form:
            return 400, {"error": {"type": "idempotency_error"}}
        return answer

    def _do(self, path: str, form: dict[str, str]) -> Answer:
        _, kind, *rest = path.strip("/").split("/")
        if (kind, rest) == ("payment_intents", []):
            return self._create(form)
        payment = self.payments.get(form.get("payment_intent", "") if kind == "refunds" else rest[0])
        if payment is None:
            return 404, {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
        if kind == "refunds":
            return self._refund(payment)
        return self._confirm(payment) if rest[1] == "confirm" else self._cancel(payment)

    def _create(self, form: dict[str, str]) -> Answer:
        payment: dict[str, Any] = {
            "id": f"pi_{len(self.payments)}",
            "status": "requires_confirmation",
            "amount": int(form["amount"]),
        }
        self.payments[payment["id"]] = payment
        return 200, dict(payment)

    def _confirm(self, payment: dict[str, Any]) -> Answer:
        if payment["status"] != "requires_confirmation":
            return self._unexpected(payment)
        if self.declines:
            payment["status"] = "requires_payment_method"
            error = {"type": "card_error", "code": "card_declined", "payment_intent": dict(payment)}
            return 402, {"error": error}
        payment["status"] = "succeeded"
        self.movements.append((payment["id"], payment["amount"]))
        return 200, dict(payment)

    def _cancel(self, payment: dict[str, Any]) -> Answer:
        if payment["status"] in {"succeeded", "canceled"}:
            return self._unexpected(payment)
        payment["status"] = "canceled"
        return 200, dict(payment)

    def _refund(self, payment: dict[str, Any]) -> Answer:
        if payment.get("refunded"):
            return 400, {"error": {"type": "invalid_request_error", "code": "charge_already_refunded"}}
        if payment["status"] != "succeeded":
            return 400, {"error": {"type": "invalid_request_error", "code": "charge_not_refundable"}}
        payment["refunded"] = True
        self.movements.append((payment["id"], -payment["amount"]))
        return 200, {"id": "re_1", "status": "succeeded"}

    @staticmethod
    def _unexpected(payment: dict[str, Any]) -> Answer:
        code = "payment_intent_unexpected_state"
        return 400, {"error": {"type": "invalid_request_error", "code": code, "payment_intent": dict(payment)}}

    def expire_idempotency_keys(self) -> None:
        """Expire all idempotency keys, as after a day."""
        self._answers.clear()


@contextmanager
def stripe_server() -> Iterator[StripeServer]:
    """Start a server in a thread."""
    gateway = StripeServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # http.server's name
            body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            with gateway.lock:
                fault = gateway.faults.pop(0) if gateway.faults else None
                if isinstance(fault, int):
                    self._send(fault, {"error": {"type": "api_error"}})
                    return
                status, answer = gateway.answer(self.path, headers, dict(parse_qsl(body)))
            if fault == "lost":
                self.close_connection = True
                return
            self._send(status, answer)

        def _send(self, status: int, answer: dict[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    gateway.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
