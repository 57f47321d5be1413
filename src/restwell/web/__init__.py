"""Building blocks of HTTP resources: routes, guards, responses, conditional requests."""

from restwell.edge._lifecycle import Lifecycle
from restwell.web._authentication import MissingCredentials, TokenScheme
from restwell.web._caching import public
from restwell.web._conditional import check_version
from restwell.web._declarations import Controller, Feature, Part, Version, delete, get, patch, post, put
from restwell.web._guards import requires_role, signed_in, signed_in_or_api_key, signed_in_or_scope
from restwell.web._jobs import JobController
from restwell.web._parameters import Header, IfMatch
from restwell.web._request import AuthScheme, Request, client_info
from restwell.web._responses import (
    Cookie,
    Response,
    Stream,
    accepted,
    created,
    download,
    immutable,
    redirect,
    stream_json,
    with_etag,
)
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
    OAUTH_ERRORS,
    ClientCredentials,
    InvalidClient,
    InvalidScope,
    UnsupportedGrantType,
    read_client_credentials,
)
from restwell.web._uploads import Upload
from restwell.web._webhooks import Webhook

__all__ = [
    "ACCESS_COOKIE",
    "OAUTH_ERRORS",
    "OAUTH_STATE_COOKIE",
    "REFRESH_COOKIE",
    "AuthScheme",
    "ClientCredentials",
    "Controller",
    "Cookie",
    "CrossSiteRequest",
    "Feature",
    "Header",
    "IfMatch",
    "InvalidClient",
    "InvalidScope",
    "JobController",
    "Lifecycle",
    "MissingCredentials",
    "Part",
    "Request",
    "Response",
    "Stream",
    "TokenScheme",
    "UnsupportedGrantType",
    "Upload",
    "Version",
    "Webhook",
    "accepted",
    "check_version",
    "client_info",
    "created",
    "delete",
    "download",
    "expired_session_cookies",
    "get",
    "immutable",
    "oauth_state_cookie",
    "patch",
    "post",
    "public",
    "put",
    "read_client_credentials",
    "redirect",
    "reject_cross_site",
    "requires_role",
    "session_cookies",
    "signed_in",
    "signed_in_or_api_key",
    "signed_in_or_scope",
    "stream_json",
    "with_etag",
]
