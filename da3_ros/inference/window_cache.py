"""What was computed of single views, kept while they are in windows.

A view is known by a key that promises its pixels, never by the pixels or the object itself. What
was computed in another state (weights, number format, image size) counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

T = TypeVar('T')

CACHE_BYTES = 2**30
"""Memory that a cache takes at most: more than a window of 24 views of the largest network."""


class WindowCache(Generic[T]):
    """Results of the newest window's views.

    After every window only its own views are kept, and of these the last ones that fit. Threads
    that share an instance take away one another's views, but never get a wrong one.

    Args:
        size_of: returns the memory that a result may come to take, bytes.
        limit_bytes: most that is kept.
    """

    def __init__(self, size_of: Callable[[T], int], limit_bytes: int = CACHE_BYTES) -> None:
        self._size_of = size_of
        self._limit_bytes = limit_bytes
        # Replaced as a whole, never changed: what is kept, and in which state it was computed.
        self._kept: tuple[Hashable, Mapping[Hashable, T]] = (None, {})

    def __len__(self) -> int:
        """Return how many views are kept."""
        return len(self._kept[1])

    @property
    def nbytes(self) -> int:
        """Memory that what is kept may take."""
        return sum(map(self._size_of, self._kept[1].values()))

    def results(
        self,
        count: int,
        keys: Sequence[Hashable] | None,
        state: Hashable,
        compute: Callable[[Sequence[int]], Sequence[T]],
    ) -> list[T]:
        """Return the results of all views of a window; what is not kept is computed.

        Whatever `compute` raises goes through, and what was kept before still is.

        Args:
            count: views of the window.
            keys: of every view; equal keys promise equal pixels. None promises nothing: nothing
                is kept of this window, nor of one before.
            state: all that results depend on besides the pixels.
            compute: gets the places of views, ascending, and returns their results.

        Raises:
            ValueError: there are more or fewer keys than views.
        """
        if keys is None:
            self.forget()
            return list(compute(range(count)))
        if len(keys) != count:
            raise ValueError(f'expected a key per view, got {len(keys)} for {count} views')
        computed_in, kept = self._kept
        if computed_in != state:
            self.forget()
            kept = {}
        known = dict(kept)
        first = {key: place for place, key in reversed(list(enumerate(keys)))}
        missing = sorted(place for key, place in first.items() if key not in known)
        if missing:
            computed = compute(missing)
            known |= {keys[place]: one for place, one in zip(missing, computed, strict=True)}
        self._kept = (state, self._within_limit({key: known[key] for key in keys}))
        return [known[key] for key in keys]

    def forget(self) -> None:
        """Keep nothing any more."""
        self._kept = (None, {})

    def _within_limit(self, results: dict[Hashable, T]) -> dict[Hashable, T]:
        """Return the last of the results, as many as fit: they stay in windows the longest."""
        total = 0
        kept: dict[Hashable, T] = {}
        for key, one in reversed(results.items()):
            total += self._size_of(one)
            if total > self._limit_bytes:
                break
            kept[key] = one
        return kept
