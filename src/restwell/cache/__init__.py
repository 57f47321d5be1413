"""A read-through cache without stale reads and without stampedes: level 1 in the process, level 2 shared by processes
or machines.
"""

from restwell.cache._cache import Cache
from restwell.cache._loads import TooManyLoads
from restwell.cache._pages import CachedPages

__all__ = ["Cache", "CachedPages", "TooManyLoads"]
