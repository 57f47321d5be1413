"""Building blocks of HTTP resources: routes, guards, pagination, conditional requests. Built on Litestar."""

from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency as Inject
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody

from restwell.web._caching import public
from restwell.web._conditional import check_version, expected_versions
from restwell.web._controllers import Controller, Version
from restwell.web._guards import current_actor, requires_role, signed_in, signed_in_or_scope
from restwell.web._idempotent import idempotent
from restwell.web._jobs import JobController
from restwell.web._pagination import paged
from restwell.web._request import ApiRequest, client_info
from restwell.web._responses import accepted, created, download, immutable, stream_json, with_etag
from restwell.web._session_cookies import (
    ACCESS_COOKIE,
    OAUTH_STATE_COOKIE,
    REFRESH_COOKIE,
    CrossSiteRequest,
    expired_session_cookies,
    oauth_state_cookie,
    reject_cross_site,
    session_cookies,
)
from restwell.web._token_endpoint import (
    ClientCredentials,
    InvalidClient,
    InvalidScope,
    UnsupportedGrantType,
    oauth_error_response,
    read_client_credentials,
)
from restwell.web._uploads import Upload

__all__ = [
    "ACCESS_COOKIE",
    "OAUTH_STATE_COOKIE",
    "REFRESH_COOKIE",
    "ApiRequest",
    "ClientCredentials",
    "Controller",
    "CrossSiteRequest",
    "FromPath",
    "HeaderParameter",
    "Inject",
    "InvalidClient",
    "InvalidScope",
    "JSONBody",
    "JobController",
    "Response",
    "ResponseSpec",
    "UnsupportedGrantType",
    "Upload",
    "Version",
    "accepted",
    "check_version",
    "client_info",
    "created",
    "current_actor",
    "delete",
    "download",
    "expected_versions",
    "expired_session_cookies",
    "get",
    "idempotent",
    "immutable",
    "oauth_error_response",
    "oauth_state_cookie",
    "paged",
    "patch",
    "post",
    "public",
    "read_client_credentials",
    "reject_cross_site",
    "requires_role",
    "session_cookies",
    "signed_in",
    "signed_in_or_scope",
    "stream_json",
    "with_etag",
]
