"""Security headers for an API: nothing it answers may be run, framed, sniffed or read from another origin's page."""

from typing import Final

from restwell.edge.context import Headers, Hook, RequestContext

POLICY: Final = b"content-security-policy"

_ALWAYS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"server", b""),  # else the server names itself
]
_STRICTEST: Final = (POLICY, b"default-src 'none'; frame-ancestors 'none'")
_SAME_ORIGIN: Final = (b"cross-origin-resource-policy", b"same-origin")
_NO_STORE: Final = (b"cache-control", b"no-store")


class SecurityHeaders(Hook):
    """What has a policy of its own keeps it, such as a page, or an image for the pages of others; an answer with no caching rule of
    its own is never stored.
    """

    cacheable_headers = True

    def on_response(self, context: RequestContext, headers: Headers) -> None:  # noqa: ARG002  # a Hook's signature
        names = {name for name, _ in headers}
        headers += _ALWAYS
        if POLICY not in names:
            headers.append(_STRICTEST)
        if _SAME_ORIGIN[0] not in names:
            headers.append(_SAME_ORIGIN)
        if b"cache-control" not in names:
            headers.append(_NO_STORE)
