from typing import Final

from restwell.web import Feature
from shop.password_resets import queries
from shop.password_resets.jobs import send_reset_code
from shop.password_resets.mail import PasswordResetMail
from shop.password_resets.routes import PasswordResetController
from shop.password_resets.service import PasswordResetService

password_resets: Final = Feature(
    controllers=[PasswordResetController],
    services=[PasswordResetService, PasswordResetMail],
    jobs=[send_reset_code],
    queries=[queries],
)
