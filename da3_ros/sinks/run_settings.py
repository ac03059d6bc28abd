"""What decides about the files of a run: one that was interrupted goes on with the same only."""

from __future__ import annotations

from collections.abc import Mapping

from da3_ros.foreign import plain_line

_SHOWN = 200
_NOTHING = 'nothing'


def changed_settings(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return which settings differ, with both values, in words; empty when none does.

    Args:
        before: of the run that was interrupted, by name.
        now: of the one that would go on.
    """
    return '; '.join(
        f'{name} was {_shown(before, name)}, is {_shown(now, name)}'
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    )


def _shown(settings: Mapping[str, str], name: str) -> str:
    return plain_line(settings.get(name, _NOTHING), _SHOWN)
