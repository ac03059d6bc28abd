"""When the images of a folder were taken: what their names say, else a rate."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
import re

from da3_ros.sources.video import VIDEO_START_NS

ASSUMED_RATE_HZ = 30.0
"""Of images whose names are no times, where nobody says more."""

_NS_PER_S = 1_000_000_000
_UNITS_NS = {19: 1, 16: 1_000, 13: 1_000_000}
"""Digits of a time since 1970, by its unit in ns: from 2001 to 2286."""
_WHOLE = re.compile(r'\d{13}|\d{16}|\d{19}')
_SECONDS = re.compile(r'\d{1,10}\.\d{3,9}')


def stamps_of_names(files: Sequence[Path]) -> tuple[int, ...] | None:
    """Return the stamps that names of images are, ns; None unless all are, in increasing order.

    Times are seconds with a decimal point (TUM RGB-D), or whole milli-, micro- or nanoseconds
    since 1970 (EuRoC).
    """
    stamps = [_stamp_ns(path) for path in files]
    found = tuple(stamp for stamp in stamps if stamp is not None)
    is_increasing = all(before < after for before, after in pairwise(found))
    return found if len(found) == len(files) and is_increasing else None


def stamps_at_rate(count: int, rate_hz: float) -> tuple[int, ...]:
    """Return so many stamps, ns, at a rate, from the stamp on that videos begin with."""
    period_ns = _NS_PER_S / Fraction(rate_hz)
    return tuple(VIDEO_START_NS + round(index * period_ns) for index in range(count))


def _stamp_ns(path: Path) -> int | None:
    stem = path.stem
    # With a zero in front they are numbers of images.
    if _WHOLE.fullmatch(stem) and not stem.startswith('0'):
        return int(stem) * _UNITS_NS[len(stem)]
    if _SECONDS.fullmatch(stem):
        return int(Fraction(stem) * _NS_PER_S) or None
    return None
