from restwell.accounts._core import MIGRATIONS
from restwell.accounts._options import AccountOptions
from restwell.accounts._passwords import queries
from restwell.accounts._passwords.jobs import send_password_changed, send_reset_code
from restwell.accounts._passwords.mail import PasswordResetMail
from restwell.accounts._passwords.reauthentication import Reauthentication
from restwell.accounts._passwords.resets import PasswordResetService
from restwell.accounts._passwords.routes import (
    PasswordController,
    PasswordResetController,
    RegistrationController,
)
from restwell.accounts._passwords.schemas import (
    PasswordChangeRequest,
    PasswordResetCompletionRequest,
    RegistrationRequest,
)
from restwell.accounts._passwords.service import PasswordService
from restwell.accounts._passwords.sign_in import PasswordSignIn
from restwell.accounts._passwords.sign_in_routes import password_sign_in
from restwell.accounts._passwords.stored_passwords import StoredPasswords
from restwell.accounts._types import profile_change, with_fields
from restwell.accounts._users.schemas import password_type
from restwell.web import Feature


def passwords(options: AccountOptions, *, mfa: bool) -> Feature:
    registration = [RegistrationController] if options.registration == "open" else []
    password = password_type(options.password_policy)
    profile = [profile_change(options.profiles)] if options.profiles is not None else []
    return Feature(
        controllers=[
            *registration,
            password_sign_in(mfa=mfa, directory=False),
            PasswordController,
            PasswordResetController,
        ],
        services=[
            StoredPasswords,
            PasswordService,
            PasswordSignIn,
            PasswordResetService,
            PasswordResetMail,
            Reauthentication,
        ],
        jobs=[send_password_changed, send_reset_code],
        queries=[queries],
        migrations={"accounts_passwords": MIGRATIONS / "accounts_passwords"},
        types={
            RegistrationRequest: with_fields(RegistrationRequest, ("password", password), *profile),
            PasswordChangeRequest: with_fields(PasswordChangeRequest, ("new_password", password)),
            PasswordResetCompletionRequest: with_fields(PasswordResetCompletionRequest, ("password", password)),
        },
    )
