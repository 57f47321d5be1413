"""An SMTP server for the tests, with TLS, a self-signed certificate and a login."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, TypeVar, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import SecretStr

from restwell.settings import MailSettings, Settings, SmtpSettings
from servers import free_port

USER, PASSWORD = "shop", "p@ss/word"
S = TypeVar("S", bound=Settings)


class MailServer:
    """``mails`` and ``received`` are the mails, parsed and as bytes.

    ``encrypted`` says for each whether it came over TLS.

    Recipients in ``unknown`` are rejected permanently. If ``busy``, all mails are rejected temporarily.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.received: list[bytes] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.encrypted: list[bool] = []
        self.unknown: set[str] = set()
        self.busy = False
        self.port = 0

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.encrypted.append(server.transport is not None and bool(server.transport.get_extra_info("sslcontext")))
        if self.busy:
            return "451 4.3.0 Try again later"
        if address in self.unknown:
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # as above
        content = cast("bytes", envelope.content)
        self.received.append(content)
        self.envelopes.append((str(envelope.mail_from), list(envelope.rcpt_tos)))
        self.mails.append(message_from_bytes(content, policy=default))
        return "250 OK"


@contextmanager
def mail_server(
    certificate: Path | None, *, starts_tls: bool = False, handler: MailServer | None = None
) -> Iterator[MailServer]:
    """With a certificate, the server requires a login, and implicit TLS or STARTTLS. Without one, neither."""
    handler = handler or MailServer()
    handler.port = free_port()
    options: dict[str, Any] = {}
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        options = {"auth_required": True, "authenticator": _authenticate}
        if starts_tls:
            options |= {"tls_context": context, "require_starttls": True}
        else:
            options |= {"ssl_context": context, "auth_require_tls": False}
    controller = Controller(handler, "127.0.0.1", handler.port, **options)
    controller.start()
    try:
        yield handler
    finally:
        controller.stop()


def _authenticate(_server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    valid = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=valid and mechanism in {"LOGIN", "PLAIN"}, handled=False)


def with_mail(settings: S, server: MailServer) -> S:
    """The settings, with this server for mail."""
    mail = MailSettings(sender="The Shop <shop@shop.example>")
    smtp = SmtpSettings(url=SecretStr(f"smtp+plain://localhost:{server.port}"))
    return settings.model_copy(update={"mail": mail, "smtp": smtp})


def make_certificate(folder: Path) -> Path:
    """Create a self-signed certificate for ``localhost``. Its key has the same name with the suffix ``.key``."""
    certificate = folder / "mail.crt"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *(
                "-addext",
                "subjectAltName=DNS:localhost",
                "-keyout",
                certificate.with_suffix(".key"),
                "-out",
                certificate,
            ),
        ],
        check=True,
        capture_output=True,
    )
    return certificate
