from typing import Final

from restwell.web import Feature
from shop.login_throttle import queries
from shop.login_throttle.service import LoginThrottle

login_throttle: Final = Feature(services=[LoginThrottle], queries=[queries])
