"""A cache that is never stale and never stampedes: level one in the process, level two between processes or machines."""

from restwell.cache.cache import Cache
from restwell.cache.loads import TooManyLoads
from restwell.cache.machine import MachineStore
from restwell.cache.outage import Outage, outage_tables
from restwell.cache.store import Store, StoreUnavailable

__all__ = [
    "Cache",
    "MachineStore",
    "Outage",
    "Store",
    "StoreUnavailable",
    "TooManyLoads",
    "outage_tables",
]
