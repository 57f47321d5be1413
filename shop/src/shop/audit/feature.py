from typing import Final

from restwell.web import Feature
from shop.audit import queries
from shop.audit.routes import AuditController
from shop.audit.service import AuditLog

audit: Final = Feature(
    controllers=[AuditController],
    services=[AuditLog],
    queries=[queries],
)
