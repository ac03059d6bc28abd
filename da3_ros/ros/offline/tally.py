"""What became of a run's windows and images, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from da3_ros.types import WindowResult


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Counts of what came out; those of what went in follow from reading it."""

    windows: int = 0
    """That gave new sets."""
    refused: int = 0
    """That the checks of the stream refused."""
    failed: int = 0
    """That raised an error."""
    sets: int = 0
    """That came out."""
    images: Mapping[str, int] = field(default_factory=dict)
    """That came out, of every camera."""
    units: tuple[tuple[bool, str, int], ...] = ()
    """Whether metric, the source of the scale, and the sets that had these; in the order in which
    they first were."""

    def with_failed(self) -> Tally:
        """Return the tally after a window that failed."""
        return replace(self, failed=self.failed + 1)

    def with_result(self, result: WindowResult) -> Tally:
        """Return the tally after a window that was made or refused."""
        if not result.new_sets:
            return replace(self, refused=self.refused + 1)
        images = dict(self.images)
        for posed in result.new_sets:
            for view in posed.views:
                images[view.id.camera] = images.get(view.id.camera, 0) + 1
        return replace(
            self,
            windows=self.windows + 1,
            sets=self.sets + len(result.new_sets),
            images=images,
            units=_with_unit(self.units, result),
        )


def _with_unit(
    units: tuple[tuple[bool, str, int], ...], result: WindowResult
) -> tuple[tuple[bool, str, int], ...]:
    a = result.alignment
    counts = {(is_metric, source): sets for is_metric, source, sets in units}
    key = (a.is_metric, str(a.scale_source))
    counts[key] = counts.get(key, 0) + len(result.new_sets)
    return tuple((*key, sets) for key, sets in counts.items())
