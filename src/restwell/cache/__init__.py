"""A read-through cache without stale reads and without stampedes: level 1 in the process, level 2 shared by processes
or machines.
"""

from restwell.cache.cache import Cache
from restwell.cache.loads import TooManyLoads
from restwell.cache.local import LocalStore
from restwell.cache.store import Store, StoreUnavailable
from restwell.cache.suspension import CacheSuspension, suspension_tables

__all__ = [
    "Cache",
    "CacheSuspension",
    "LocalStore",
    "Store",
    "StoreUnavailable",
    "TooManyLoads",
    "suspension_tables",
]
