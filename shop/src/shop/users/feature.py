from typing import Final

from restwell.web import Feature
from shop.users import queries
from shop.users.jobs import send_identity_linked, send_mfa_changed, send_password_changed
from shop.users.mail import AccountMail
from shop.users.reauthentication import Reauthentication
from shop.users.routes import UserController
from shop.users.service import UserService

users: Final = Feature(
    controllers=[UserController],
    services=[UserService, Reauthentication, AccountMail],
    jobs=[send_password_changed, send_identity_linked, send_mfa_changed],
    queries=[queries],
)
