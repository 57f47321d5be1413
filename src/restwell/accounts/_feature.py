"""The accounts of an application: one feature, with parts to choose from."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, get_args

from msgspec import Struct

from restwell.accounts._authentication import Authentication
from restwell.accounts._claims import ClaimsFunction, UserClaims, claims_service
from restwell.accounts._core import administration, core
from restwell.accounts._emails import AccountEmails
from restwell.accounts._languages import Languages
from restwell.accounts._options import AccountOptions, Registration
from restwell.accounts._profiles import Profiles
from restwell.accounts._types import account_types, stored_user_type
from restwell.accounts._user_directory import UserDirectory
from restwell.auth import PasswordPolicy
from restwell.web import Feature


class Accounts(Feature):
    """User accounts with sessions, an audit log, an export of personal data, and the parts that are chosen.

    A part that is left out has no route and no table, and its code is not imported.

    - ``roles``: the roles of users. ``default_role``: that of new accounts; default: the first. ``admin_role``: may
      manage users and clients, and see all security events; default: ``roles.ADMIN``.
    - ``scopes``: the scopes of machine clients and API keys, each with a description.
      ``events_scope``: may see all security events.
    - ``passwords``: registration, sign-in, change and reset.
    - ``identities``: sign-in with the identity providers of ``OAUTH_PROVIDERS``.
    - ``mfa``: authenticator and recovery codes. ``email_verification``: codes sent to new addresses. Default: as
      ``passwords``, which both need.
    - ``clients``: machine clients with the client credentials grant. Default: if there are ``scopes``.
    - ``api_keys``: users create API keys, which act for them within scopes. Default: if there are ``scopes``.
      ``api_key_prefix``: how keys begin, for secret scanners, such as ``shop_``.
    - ``administration``: routes to list, change and deactivate users.
    - ``registration``: ``open``; ``invitation``: only for people whom an admin has invited by email; or ``closed``:
      accounts are not created through the API.
    - ``profile``: the application's own fields of accounts, a frozen Struct whose fields all have defaults. Users set
      them at registration and change them with a merge patch. They are stored as JSON of at most 16 KiB, so a new field
      needs no migration. A stored value that no longer fits its field is read as the default.
    - ``emails``: the texts of emails, or those of several languages by tag (BCP 47), the default first. Then accounts
      have a ``language``, which is chosen by Accept-Language at registration, and which users can change.
    - ``password_policy``: the rules of new passwords.
    - ``claims``: the application's own claims of access tokens, read at sign-in and refresh: a function of a ``User``
      that returns them, or a subclass of ``UserClaims``, which is a service. ``Actor.claims`` has them.
    - ``directory``: another store of users and passwords, or its class, which is built from services. There is no
      registration, no password change or reset, and no sign-in with an identity provider; users change only the fields
      of ``profile`` and their language.

    Raises TypeError for options that contradict each other, and ValueError for an invalid ``api_key_prefix``.
    """

    def __init__(
        self,
        *,
        roles: type[StrEnum],
        default_role: StrEnum | None = None,
        admin_role: StrEnum | None = None,
        scopes: Mapping[Any, str] | None = None,
        events_scope: str | None = None,
        registration: Registration | None = None,
        passwords: bool = True,
        identities: bool | None = None,
        mfa: bool | None = None,
        email_verification: bool | None = None,
        clients: bool | None = None,
        api_keys: bool | None = None,
        api_key_prefix: str = "rwk_",
        administration: bool = True,
        profile: type[Struct] | None = None,
        emails: AccountEmails | Mapping[str, AccountEmails] | None = None,
        password_policy: PasswordPolicy | None = None,
        claims: type[UserClaims] | ClaimsFunction | None = None,
        directory: UserDirectory | type[UserDirectory] | None = None,
    ) -> None:
        if directory is not None:
            _check_directory(
                passwords=passwords,
                registration=registration,
                identities=identities,
                email_verification=email_verification,
                password_policy=password_policy,
            )
        if not roles.__members__:
            raise TypeError(f"Accounts: {roles.__name__} has no member; users need a role")
        profiles = Profiles(profile) if profile is not None else None
        languages = Languages(emails if emails is not None else AccountEmails())
        user = stored_user_type(languages, profiles)
        options = AccountOptions(
            roles=roles,
            default_role=default_role or next(iter(roles)),
            admin_role=admin_role or _admin_of(roles),
            scopes=scopes or {},
            api_key_prefix=api_key_prefix,
            registration=registration or ("open" if directory is None else "closed"),
            by_password=passwords,
            directory=directory,
            languages=languages,
            password_policy=password_policy or PasswordPolicy(),
            profiles=profiles,
            user=user,
            types=account_types(roles, user, languages, profiles, has_directory=directory is not None),
        )
        parts = {
            "passwords": passwords,
            "identities": directory is None if identities is None else identities,
            "mfa": passwords if mfa is None else mfa,
            "email_verification": passwords and directory is None if email_verification is None else email_verification,
            "clients": bool(scopes) if clients is None else clients,
            "api_keys": bool(scopes) if api_keys is None else api_keys,
            "administration": administration,
        }
        for part in ("mfa", "email_verification"):
            if parts[part] and not passwords:
                raise TypeError(f"Accounts: {part} needs passwords=True")
        for part in ("clients", "api_keys"):
            if parts[part] and not scopes:
                raise TypeError(f"Accounts: {part} needs scopes, a description for each scope of the application")
        if options.registration not in get_args(Registration):
            raise TypeError(f"Accounts: registration is {registration!r}; choose one of {get_args(Registration)}")
        if registration == "invitation" and not passwords and not parts["identities"]:
            raise TypeError('Accounts: registration="invitation" needs passwords=True or identities=True')
        features = [core(options, events_scope), Feature(services=claims_service(claims)), *_features(parts, options)]
        super().__init__(
            controllers=[each for feature in features for each in feature.controllers],
            services=[each for feature in features for each in feature.services],
            jobs=[each for feature in features for each in feature.jobs],
            queries=[each for feature in features for each in feature.queries],
            migrations={name: folder for feature in features for name, folder in feature.migrations.items()},
            authenticate=Authentication,
            client_credentials=next((each.client_credentials for each in features if each.client_credentials), None),
            types={kind: concrete for feature in features for kind, concrete in feature.types.items()},
            tag_descriptions=TAGS,
        )


TAGS: Final = {
    "Users": "Accounts, their credentials and their administration.",
    "Sessions": "Sign-in, refresh and sign-out.",
    "Security": "What happened to accounts.",
    "OAuth clients": "Machine clients (OAuth 2.0 client credentials).",
    "API keys": "Keys that act as their user, within scopes.",
}


def _features(parts: Mapping[str, bool], options: AccountOptions) -> Iterator[Feature]:
    """The features of the parts. Imports only those that are chosen."""
    if parts["administration"]:
        yield administration(options)
    if parts["passwords"] or parts["identities"] or parts["api_keys"]:
        from restwell.accounts._mail import mail  # noqa: PLC0415  # loaded only if used

        yield mail()
    yield from _credentials(parts, options)
    if options.registration == "invitation":
        from restwell.accounts._invitations.feature import invitations  # noqa: PLC0415  # as above

        yield invitations(options)
    if parts["clients"]:
        from restwell.accounts._clients.feature import clients  # noqa: PLC0415  # as above

        yield clients(options)
    if parts["api_keys"]:
        from restwell.accounts._api_keys.feature import api_keys  # noqa: PLC0415  # as above

        yield api_keys(options)


def _credentials(parts: Mapping[str, bool], options: AccountOptions) -> Iterator[Feature]:
    """The features with which users sign in."""
    if options.directory is not None:
        from restwell.accounts._directory.feature import directory  # noqa: PLC0415  # as above

        yield directory(options.directory, mfa=parts["mfa"])
    elif parts["passwords"]:
        from restwell.accounts._passwords.feature import passwords  # noqa: PLC0415  # as above

        yield passwords(options, mfa=parts["mfa"])
    if parts["email_verification"]:
        from restwell.accounts._email_verification.feature import email_verification  # noqa: PLC0415  # as above

        yield email_verification()
    if parts["identities"]:
        from restwell.accounts._identities.feature import identities  # noqa: PLC0415  # as above

        yield identities()
    if parts["mfa"]:
        from restwell.accounts._mfa.feature import mfa  # noqa: PLC0415  # as above

        yield mfa()


def _check_directory(*, passwords: bool, **others: object) -> None:
    if not passwords:
        raise TypeError("Accounts: directory needs passwords=True")
    for name, value in others.items():
        if value not in (None, False, "closed"):
            raise TypeError(f"Accounts: {name}={value!r} contradicts directory, which has all users; leave it out")


def _admin_of(roles: type[StrEnum]) -> StrEnum:
    if "ADMIN" not in roles.__members__:
        raise TypeError(f"Accounts: pass admin_role=, because {roles.__name__} has no member ADMIN")
    return roles["ADMIN"]
