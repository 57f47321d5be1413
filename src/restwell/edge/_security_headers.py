"""Security headers: a response may not be executed, framed, MIME-sniffed or embedded by another origin."""

from typing import Final

from restwell.edge._context import Headers, Hook, RequestContext

POLICY: Final = b"content-security-policy"

_ALWAYS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"server", b""),  # otherwise the server adds its name
]
_DEFAULT_POLICY: Final = (POLICY, b"default-src 'none'; frame-ancestors 'none'")
_SAME_ORIGIN: Final = (b"cross-origin-resource-policy", b"same-origin")
_NO_STORE: Final = (b"cache-control", b"no-store")


class SecurityHeaders(Hook):
    """A response may set its own Content-Security-Policy and Cross-Origin-Resource-Policy.

    Without Cache-Control it gets ``no-store``.
    """

    cacheable_headers = True

    def on_response(self, context: RequestContext, headers: Headers) -> None:  # noqa: ARG002  # the signature of Hook
        names = {name for name, _ in headers}
        headers += _ALWAYS
        if POLICY not in names:
            headers.append(_DEFAULT_POLICY)
        if _SAME_ORIGIN[0] not in names:
            headers.append(_SAME_ORIGIN)
        if b"cache-control" not in names:
            headers.append(_NO_STORE)
