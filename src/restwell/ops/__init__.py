"""The operations page: what is slow, failing or stuck in an application, and the actions that mend it, at ``/ops``.

An application adds it as a feature::

    accounts = Accounts(roles=Role)
    kit.app([Ops(accounts), Version("/v1", [accounts, products, orders])])

Needs the extra ``ops``.
"""

from restwell._extras import needs_extra

with needs_extra("ops", __name__):
    from restwell.ops._feature import Ops

__all__ = ["Ops"]
