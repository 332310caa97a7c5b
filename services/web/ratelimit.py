"""How many requests a second one client may make."""

from __future__ import annotations

import time
from collections.abc import Callable

MOST = 50_000  # clients remembered


class RateLimit:
    """A bucket for each client address, filled at `rate` and holding `burst`.

    Args:
        rate: requests a second, on the average.
        burst: requests at once; twice the rate unless said.
    """

    __transient__ = ("_buckets",)
    clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, rate: float, burst: float | None = None) -> None:
        if not rate > 0:
            raise ValueError(f"a rate limit is a number of requests a second above 0; got {rate!r}")
        self.rate, self.burst = rate, burst or max(1.0, 2 * rate)
        self._buckets: dict[str, tuple[float, float]] = {}

    def __resume__(self, space: object) -> None:
        self._buckets = {}

    def wait(self, client: str) -> float:
        """Take one request of this client: 0.0 if it may go on, else the seconds after which it may try again."""
        now = self.clock()
        level, then = self._buckets.pop(client, (self.burst, now))
        level = min(self.burst, level + (now - then) * self.rate)
        allowed = level >= 1
        self._buckets[client] = (level - 1 if allowed else level, now)  # at the end: in order of last use
        while len(self._buckets) > MOST:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if allowed else (1 - level) / self.rate


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address, since one person has all of that."""
    if ":" not in address:
        return address
    import ipaddress

    try:
        return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))
    except ValueError:
        return address
