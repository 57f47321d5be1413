"""The layout of the shop's emails."""

from functools import partial
from typing import Final

from restwell.mail import render_mail

render_email: Final = partial(render_mail, signature="The shop")
