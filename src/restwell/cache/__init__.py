"""A read-through cache without stale reads and without stampedes: level 1 in the process, level 2 shared by processes
or machines.
"""

from restwell.cache._cache import Cache
from restwell.cache._loads import TooManyLoads
from restwell.cache._local import LocalStore
from restwell.cache._store import Store, StoreUnavailable
from restwell.cache._suspension import CacheSuspension, suspension_tables

__all__ = [
    "Cache",
    "CacheSuspension",
    "LocalStore",
    "Store",
    "StoreUnavailable",
    "TooManyLoads",
    "suspension_tables",
]
