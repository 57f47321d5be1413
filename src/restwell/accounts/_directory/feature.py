from typing import Any

from restwell.accounts._directory.checks import DirectoryPasswords, DirectoryRefresh
from restwell.accounts._directory.client import DirectoryClient
from restwell.accounts._options import AccountOptions
from restwell.accounts._passwords.reauthentication import Reauthentication
from restwell.accounts._passwords.sign_in import PasswordSignIn
from restwell.accounts._passwords.sign_in_routes import password_sign_in
from restwell.accounts._user_directory import UserDirectory
from restwell.accounts._users.directory_accounts import DirectoryAccounts
from restwell.web import Feature


def directory(given: UserDirectory | type[UserDirectory], *, mfa: bool) -> Feature:
    """``given``: a directory, or its class, which is built from services."""
    kind: Any = given if isinstance(given, type) else type(given)
    for method in ("authenticate", "find"):
        if not callable(getattr(kind, method, None)):
            raise TypeError(f"Accounts: directory={kind.__name__} has no method {method}; see UserDirectory")

    def client(directory: kind, options: AccountOptions) -> DirectoryClient:
        return DirectoryClient(directory, options)

    return Feature(
        controllers=[password_sign_in(mfa=mfa, directory=True)],
        services=[
            given,
            client,
            DirectoryPasswords,
            DirectoryRefresh,
            DirectoryAccounts,
            PasswordSignIn,
            Reauthentication,
        ],
    )
