"""Which camera's clock is far ahead of those of all others."""

from __future__ import annotations

WRONG_CLOCK_NS = 10_000_000_000
"""A camera whose stamps stay ahead of those of all other cameras that send, by more than this and
the waiting time, has a wrong clock."""


class SenderClocks:
    """Compares the stamps of cameras in the order of arrival. One thread at a time.

    Args:
        senders: number of cameras.
        wait_ns: how far ahead a camera may be anyway.
    """

    def __init__(self, senders: int, wait_ns: int) -> None:
        self._ahead_ns = wait_ns + WRONG_CLOCK_NS
        # The last stamp of every camera, refused or not, and the number of its arrival.
        self._last_ns: list[int | None] = [None] * senders
        self._arrived_at = [0] * senders
        self._arrivals = 0

    def is_ahead(self, index: int, stamp_ns: int) -> bool:
        """Note a stamp; return whether it and the one before are ahead of all who sent between."""
        before, since = self._last_ns[index], self._arrived_at[index]
        self._arrivals += 1
        self._last_ns[index], self._arrived_at[index] = stamp_ns, self._arrivals
        # One stamp alone may be the first after a gap that all cameras have.
        if before is None:
            return False
        limit = min(before, stamp_ns) - self._ahead_ns
        others = [
            last
            for i, last in enumerate(self._last_ns)
            if i != index and last is not None and self._arrived_at[i] > since
        ]
        return bool(others) and all(last < limit for last in others)
