"""The edge: the outermost ASGI middleware.

It answers cached GET requests itself and passes the others to the application.
"""

from restwell.edge.access_log import AccessLog
from restwell.edge.canonical_path import CanonicalPath
from restwell.edge.client_address import ClientAddress
from restwell.edge.concurrency_limiter import ConcurrencyLimiter
from restwell.edge.context import Hook, RequestContext
from restwell.edge.cors import Cors
from restwell.edge.header_fields import HeaderFields
from restwell.edge.options import Options
from restwell.edge.pipeline import Edge
from restwell.edge.rate_limit import RateLimitHeaders
from restwell.edge.read_your_writes import ReadYourWrites
from restwell.edge.request_id import LogContext, RequestId
from restwell.edge.response_cache import ResponseCache
from restwell.edge.security_headers import SecurityHeaders
from restwell.edge.url_limit import UrlLimit

__all__ = [
    "AccessLog",
    "CanonicalPath",
    "ClientAddress",
    "ConcurrencyLimiter",
    "Cors",
    "Edge",
    "HeaderFields",
    "Hook",
    "LogContext",
    "Options",
    "RateLimitHeaders",
    "ReadYourWrites",
    "RequestContext",
    "RequestId",
    "ResponseCache",
    "SecurityHeaders",
    "UrlLimit",
]
