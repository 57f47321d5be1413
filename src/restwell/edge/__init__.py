"""The edge: the outermost ASGI middleware.

It answers cached GET requests itself and passes the others to the application.
"""

from restwell.edge._access_log import AccessLog
from restwell.edge._canonical_path import CanonicalPath
from restwell.edge._client_address import ClientAddress
from restwell.edge._concurrency_limiter import ConcurrencyLimiter
from restwell.edge._context import Hook, RequestContext
from restwell.edge._cors import Cors
from restwell.edge._header_fields import HeaderFields
from restwell.edge._options import Options
from restwell.edge._pipeline import Edge
from restwell.edge._rate_limit import RateLimitHeaders
from restwell.edge._read_your_writes import ReadYourWrites
from restwell.edge._request_id import LogContext, RequestId
from restwell.edge._response_cache import ResponseCache
from restwell.edge._security_headers import SecurityHeaders
from restwell.edge._url_limit import UrlLimit

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
