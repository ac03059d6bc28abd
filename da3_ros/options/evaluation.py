"""Options of comparisons with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from da3_ros.options.table import Entrance, option

_EVAL = (Entrance.EVAL,)


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """How results and truth find each other, and where the figures go."""

    max_difference: float = option(
        0.02,
        'Difference of stamps of one instant, at most.',
        entrances=_EVAL,
        unit='s',
        minimum=0.0,
    )
    json_file: Path | None = option(
        None, 'Also write the JSON object to this file.', entrances=_EVAL, kind=Path
    )
    plots: Path | None = option(
        None, 'Folder for pictures of the figures.', entrances=_EVAL, kind=Path
    )
