"""Compares eviction policies: S3-FIFO, as in ``restwell.cache.memory``, LRU and W-TinyLFU.

Reports the hit ratio and the time per request, for keys with a Zipf distribution (exponent 0.9 and 1.1), with a scan of
keys that are requested once (one request in five), and with a drifting hot set. The cache holds 1% or 10% of the keys.
``python bench/eviction.py --out bench/results/...json``
"""

import argparse
import json
import random
import sys
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from restwell.cache._memory import ENTRY_BYTES, OBJECT_FACTOR, Entry, Memory  # noqa: E402  # after the path is set
from restwell.cache._metrics import CacheStats  # noqa: E402  # after the path is set

KEYS = 50_000
REQUESTS = 400_000
SIZE = ENTRY_BYTES + OBJECT_FACTOR * 500


class Policy(Protocol):
    def request(self, key: str) -> bool:
        """Look up a key, and insert it on a miss. Returns whether it was a hit."""


class S3Fifo:
    def __init__(self, capacity: int) -> None:
        self._memory = Memory(capacity * SIZE)
        self._stats = CacheStats()

    def request(self, key: str) -> bool:
        if self._memory.get(key) is not None:
            return True
        self._memory.put(Entry(key, key, (), 500, 0.0, 0.0, self._stats))
        return False


class Lru:
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, None] = OrderedDict()

    def request(self, key: str) -> bool:
        if key in self._entries:
            self._entries.move_to_end(key)
            return True
        self._entries[key] = None
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)
        return False


class WTinyLfu:
    """A window of 1%, then a segmented LRU. A key is admitted only if it is requested more often than the victim.

    The counters are exact and are halved every ten times the capacity, which favours it over a real frequency sketch.
    """

    def __init__(self, capacity: int) -> None:
        self._window = Lru(max(1, capacity // 100))
        self._capacity = capacity - max(1, capacity // 100)
        self._probation: OrderedDict[str, None] = OrderedDict()
        self._protected: OrderedDict[str, None] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._requests = 0

    def request(self, key: str) -> bool:
        self._count(key)
        if key in self._protected:
            self._protected.move_to_end(key)
            return True
        if key in self._probation:
            del self._probation[key]
            self._protected[key] = None
            if len(self._protected) > self._capacity * 0.8:
                self._probation[self._protected.popitem(last=False)[0]] = None
            return True
        entries = self._window._entries  # noqa: SLF001  # part of this policy
        if key in entries:
            entries.move_to_end(key)
            return True
        entries[key] = None
        if len(entries) > self._window._capacity:  # noqa: SLF001  # as above
            self._admit(entries.popitem(last=False)[0])
        return False

    def _admit(self, key: str) -> None:
        if len(self._probation) + len(self._protected) < self._capacity:
            self._probation[key] = None
            return
        victim = next(iter(self._probation or self._protected))
        if self._counts[key] > self._counts[victim]:
            (self._probation if victim in self._probation else self._protected).pop(victim)
            self._probation[key] = None

    def _count(self, key: str) -> None:
        self._counts[key] = min(15, self._counts[key] + 1)
        self._requests += 1
        if self._requests >= 10 * self._capacity:
            self._requests = 0
            self._counts = Counter({one: count // 2 for one, count in self._counts.items() if count > 1})


POLICIES: dict[str, Callable[[int], Policy]] = {"S3-FIFO": S3Fifo, "LRU": Lru, "W-TinyLFU": WTinyLfu}


def zipf(exponent: float, rng: random.Random) -> Iterator[int]:
    weights = list(accumulate(1 / rank**exponent for rank in range(1, KEYS + 1)))
    yield from rng.choices(range(KEYS), cum_weights=weights, k=REQUESTS)


def traces() -> Iterator[tuple[str, list[str]]]:
    for exponent in (0.9, 1.1):
        rng = random.Random(1)  # noqa: S311  # reproducible
        keys = list(zipf(exponent, rng))
        yield f"zipf {exponent}", [str(key) for key in keys]
        yield (
            f"zipf {exponent}, a fifth requested once",
            [f"once {n}" if rng.random() < 0.2 else str(key) for n, key in enumerate(keys)],
        )
        yield f"zipf {exponent}, drifting", [str((key + n // 40) % KEYS) for n, key in enumerate(keys)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = []
    print(f"{'':36}{'capacity':>9}" + "".join(f"{name:>18}" for name in POLICIES))
    for trace, keys in traces():
        for capacity in (KEYS // 100, KEYS // 10):
            row: dict[str, object] = {"trace": trace, "capacity": capacity}
            for name, new in POLICIES.items():
                policy = new(capacity)
                began = time.perf_counter()
                hits = sum(map(policy.request, keys))
                row[name] = {
                    "hits": round(hits / len(keys), 4),
                    "us": round((time.perf_counter() - began) / len(keys) * 1e6, 2),
                }
            result.append(row)
            stats = (row[name] for name in POLICIES)
            texts = (f"{one['hits']:.1%} {one['us']:.2f} us" for one in stats if isinstance(one, dict))
            print(f"{trace:36}{capacity:>9}" + "".join(f"{text:>18}" for text in texts), flush=True)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
