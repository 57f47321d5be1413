"""The parts of the kit that need an extra."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

from restwell._extras import needs_extra
from restwell.auth._key_derivation import KeyDeriver
from restwell.settings import Settings

if TYPE_CHECKING:
    from restwell.auth import AccessTokens, Passwords, SecretBox
    from restwell.auth.oauth import AuthorizationFlows, Providers
    from restwell.mail import Mailer


class AsyncCloseable(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=AsyncCloseable)


class OptionalParts:
    """Each part is built on first use. Raises ConfigurationError then, if its extra is not installed."""

    def __init__(self, settings: Settings, name: str, secrets: Sequence[str]) -> None:
        self.settings = settings
        self.name = name
        self._secrets = secrets
        self._closeables: list[AsyncCloseable] = []

    def close_on_shutdown(self, resource: C) -> C:
        """Register a resource of the application, which is closed before the kit. Returns it."""
        self._closeables.append(resource)
        return resource

    def _optional_parts(self) -> dict[str, Callable[[], object]]:
        """Functions that return the parts, by the names of their types."""
        return {
            "restwell.mail.Mailer": lambda: self.mailer,
            "restwell.auth._passwords.Passwords": lambda: self.passwords,
            "restwell.auth._tokens.AccessTokens": lambda: self.access_tokens,
            "restwell.auth._encryption.SecretBox": lambda: self.secret_box,
            "restwell.auth._key_derivation.KeyDeriver": lambda: KeyDeriver(self._secrets[0]),
            "restwell.auth.oauth._providers.Providers": lambda: self.oauth_providers,
            "restwell.auth.oauth._state.AuthorizationFlows": lambda: self.oauth_flows,
        }

    @cached_property
    def mailer(self) -> "Mailer":
        from restwell.mail import open_mailer  # noqa: PLC0415  # loaded only if used

        smtp = self.settings.smtp.url
        return open_mailer(smtp.get_secret_value() if smtp is not None else None, self.settings.mail.sender)

    @cached_property
    def passwords(self) -> "Passwords":
        from restwell.auth import Passwords  # noqa: PLC0415  # as above

        return Passwords()

    @cached_property
    def access_tokens(self) -> "AccessTokens":
        from restwell.auth import AccessTokens  # noqa: PLC0415  # as above
        from restwell.auth._signing_keys import from_files, from_secrets  # noqa: PLC0415  # as above

        jwt = self.settings.jwt
        keys = from_files(jwt.key_files) if jwt.key_files else from_secrets(self._secrets)
        return AccessTokens(keys, issuer=self.settings.app.url or self.name, ttl_seconds=jwt.access_ttl_seconds)

    @cached_property
    def secret_box(self) -> "SecretBox":
        with needs_extra("auth", "Restwell.secret_box"):
            from restwell.auth import SecretBox  # noqa: PLC0415  # as above

        return SecretBox([KeyDeriver(each).derive("encryption") for each in self._secrets])

    @cached_property
    def oauth_providers(self) -> "Providers":
        from restwell.auth.oauth import Providers  # noqa: PLC0415  # as above

        return self.close_on_shutdown(Providers(url.get_secret_value() for url in self.settings.oauth.providers))

    @cached_property
    def oauth_flows(self) -> "AuthorizationFlows":
        from restwell.auth.oauth import AuthorizationFlows  # noqa: PLC0415  # as above

        return AuthorizationFlows(KeyDeriver(self._secrets[0]).derive("sign-in"))
