"""A cache that is never stale and never stampedes: level one in the process, level two between processes or machines."""

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
