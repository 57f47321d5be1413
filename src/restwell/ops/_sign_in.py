"""Sign-in with the accounts of the application, and sign-out. The session is that of any browser."""

import re
from typing import Any, Final

from msgspec import Struct, convert

from restwell.accounts import SessionService
from restwell.accounts._passwords.schemas import SignInRequest
from restwell.accounts._passwords.second_factor import InvalidMfaCode, MfaRequired
from restwell.accounts._passwords.sign_in import InvalidCredentials, PasswordSignIn
from restwell.accounts._rates import SIGN_IN
from restwell.accounts._throttle.service import TooManyAttempts
from restwell.auth import Actor
from restwell.errors import AppError
from restwell.ops._assets import FILES
from restwell.ops._forms import FormTokens
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, page
from restwell.web import (
    REFRESH_COOKIE,
    Controller,
    Request,
    Response,
    client_info,
    expired_session_cookies,
    post,
    redirect,
    reject_cross_site,
    session_cookies,
    signed_in,
)
from restwell.web._validation import decode_hook

SIGN_IN_PATH: Final = f"{ROOT}/sign-in"

_is_own_path: Final = re.compile(rf"{ROOT}([/?][!-~]*)?").fullmatch


class SignInForm(Struct, frozen=True):
    """``next``: the page to go to."""

    email: str
    password: str
    code: str = ""
    next: str = ""


class SignInController(Controller):
    path = SIGN_IN_PATH

    @page(rate_limit=FILES)  # of its own: a client of the same address may have used up the reads
    async def sign_in_page(self, request: Request, layout: Layout, next: str = "") -> Response[bytes]:  # noqa: A002
        """``next`` is the name of the query parameter."""
        return layout.page(request, "sign_in.html", email="", next=_own_path(next), error="", needs_code=False)

    @post(
        rate_limit=SIGN_IN,
        include_in_schema=False,
        query_budget={
            "login_throttle.by_key": 2,
            "login_throttle.reset": 2,
            "login_throttle.record_failure": 2,
            "security_events.insert": 5,
        },
    )
    async def sign_in(
        self, request: Request, form: SignInForm, layout: Layout, tokens: FormTokens, sign_in: PasswordSignIn
    ) -> Response[bytes] | Response[None]:
        await tokens.check(request)
        following = _own_path(form.next)
        values = {"email": form.email.strip(), "password": form.password, "code": form.code.strip() or None}
        error: AppError
        try:
            credentials: SignInRequest = _credentials(values)
            _, opened = await sign_in.sign_in(credentials, client_info(request))
        except (InvalidCredentials, MfaRequired, InvalidMfaCode, TooManyAttempts) as raised:
            error = raised
        else:
            cookies = session_cookies(opened.access_token, opened.refresh_token, access_seconds=opened.expires_in)
            return redirect(following, *cookies)
        needs_code = isinstance(error, MfaRequired | InvalidMfaCode)
        text = "Enter your password again, and the code of your authenticator." if needs_code else error.detail
        if isinstance(error, InvalidMfaCode):
            text = f"{error.detail} {text}"
        return layout.page(
            request,
            "sign_in.html",
            status=error.status,
            email=values["email"],
            next=following,
            error=text,
            needs_code=needs_code,
        )


class SessionController(Controller):
    path = ROOT

    @post("/sign-out", include_in_schema=False, guards=[signed_in])
    async def sign_out(
        self, request: Request, actor: Actor, tokens: FormTokens, sessions: SessionService
    ) -> Response[None]:
        await tokens.check(request)
        await sessions.revoke(actor, actor.session_id)
        return redirect(SIGN_IN_PATH, *expired_session_cookies())

    @post("/refresh", include_in_schema=False, status_code=204, query_budget={"security_events.insert": 3})
    async def refresh(self, request: Request, sessions: SessionService) -> Response[None]:
        """For the script of the pages: new tokens, when the access token has expired."""
        reject_cross_site(request)
        opened = await sessions.refresh(request.cookies.get(REFRESH_COOKIE, ""))
        cookies = session_cookies(opened.access_token, opened.refresh_token, access_seconds=opened.expires_in)
        return Response(content=None, status_code=204, cookies=cookies)


def _credentials(values: dict[str, Any]) -> SignInRequest:
    try:
        return convert(values, SignInRequest, dec_hook=decode_hook)
    except ValueError:  # not an email address, or too long: there is no such account
        raise InvalidCredentials from None


def _own_path(path: str) -> str:
    """The path if it is one of the operations page, and its start otherwise, so that no redirect leaves it."""
    return path if _is_own_path(path) else ROOT
