"""The responses that carry the tokens of a session, as JSON or as cookies."""

from restwell.accounts._sessions.schemas import BearerTokens, CookieTokens
from restwell.web import Response, expired_session_cookies, session_cookies


def token_response(
    tokens: BearerTokens, *, in_cookies: bool, status_code: int = 200, location: str | None = None
) -> Response[BearerTokens | CookieTokens]:
    if not in_cookies:
        return Response(content=tokens, status_code=status_code, location=location)
    cookies = session_cookies(tokens.access_token, tokens.refresh_token, access_seconds=tokens.expires_in)
    return Response(
        content=CookieTokens(tokens.expires_in), status_code=status_code, location=location, cookies=cookies
    )


def signed_out_response() -> Response[None]:
    return Response(content=None, status_code=204, cookies=expired_session_cookies())
