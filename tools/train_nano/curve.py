"""The curve of a run as a picture."""

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_PANEL = (300, 420)
_MARGIN = 42
_GREY = (190, 190, 190)
_COLOURS = ((180, 80, 20), (40, 130, 30), (30, 30, 200), (140, 140, 140), (200, 140, 200))

PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ('AbsRel', ('absrel_v1', 'absrel_v2', 'absrel_v4', 'absrel_constant_v4', 'absrel_row_v4')),
    ('delta1', ('delta1_v1', 'delta1_v2', 'delta1_v4', 'delta1_constant_v4', 'delta1_row_v4')),
    ('rotation error, deg', ('rotation_deg_v2', 'rotation_deg_v4', 'rotation_deg_still_v4')),
    ('AUC@30, %', ('auc30_v2', 'auc30_v4', 'auc30_rotation_v4', 'auc30_rotation_still_v4')),
)
"""Title and figures of every panel."""


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log."""
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines() if line]


def draw_curve(log: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the figures of a log over the views seen, and write the picture.

    Where the version of the scenes changed, which makes figures incomparable, stands a grey line
    with the new version.
    """
    panels = [_panel(log, title, names) for title, names in PANELS]
    rows = [np.concatenate(panels[start : start + 2], axis=1) for start in (0, 2)]
    done, encoded = cv2.imencode('.png', np.concatenate(rows))
    assert done
    scratch = path.with_name(path.name + '.part')
    scratch.write_bytes(encoded.tobytes())
    scratch.replace(path)


def _panel(log: Sequence[dict[str, Any]], title: str, names: tuple[str, ...]) -> NDArray[np.uint8]:
    height, width = _PANEL
    canvas = np.full((height, width, 3), 255, np.uint8)
    views = np.array([line['views'] for line in log], float)
    curves = {name: np.array([line['figures'][name] for line in log]) for name in names}
    top = max(float(values.max()) for values in curves.values()) * 1.05
    inner_width, inner_height = width - 2 * _MARGIN, height - 2 * _MARGIN
    x = _MARGIN + inner_width * views / max(float(views.max()), 1.0)
    corner = (_MARGIN, height - _MARGIN)
    cv2.rectangle(canvas, (_MARGIN, _MARGIN), (width - _MARGIN, height - _MARGIN), (0, 0, 0), 1)
    _write(canvas, title, (_MARGIN, 16), (0, 0, 0))
    _write(canvas, '0', (_MARGIN - 12, corner[1]), (0, 0, 0))
    _write(canvas, f'{top:.3g}', (2, _MARGIN + 8), (0, 0, 0))
    _write(canvas, f'{views.max() / 1000:.0f} k views', (width - 110, height - 24), (0, 0, 0))
    families = [line.get('family', 1) for line in log]
    for place, before, after in zip(x[1:], families, families[1:], strict=False):
        if before != after:
            at = int(place)
            cv2.line(canvas, (at, _MARGIN), (at, corner[1]), _GREY, 1)
            _write(canvas, f'v{after}', (at - 6, corner[1] + 12), _GREY)
    for index, (name, values) in enumerate(curves.items()):
        y = height - _MARGIN - inner_height * values / max(top, 1e-9)
        points = np.stack([x, y], axis=1).round().astype(np.int32)
        cv2.polylines(canvas, [points], False, _COLOURS[index], 1, cv2.LINE_AA)
        label = f'{name} {values[-1]:.3g}'
        _write(canvas, label, (_MARGIN + 8, _MARGIN + 16 + 13 * index), _COLOURS[index])
    return canvas


def _write(
    canvas: NDArray[np.uint8], text: str, place: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
