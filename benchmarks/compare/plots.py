"""Results as pictures: bars of how many times faster than the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.compare.measure import factor
from benchmarks.compare.tables import case_name, size_name

Picture = NDArray[np.uint8]
_BAR, _GAP, _LEFT, _RIGHT, _TOP = 15, 10, 210, 70, 30
_WIDTH = 760
_BLACK, _GREY = (0, 0, 0), (190, 190, 190)
_COLOURS = ((180, 80, 20), (230, 160, 90), (40, 130, 30), (120, 200, 110), (30, 30, 200))


def draw(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write a picture for each network: `<network>.png`."""
    written = []
    presets = dict.fromkeys(case['preset'] for case in results['cases'])
    for preset in presets:
        groups = [_bars(case, results) for case in results['cases'] if case['preset'] == preset]
        groups = [group for group in groups if group[1]]
        if groups:
            path = folder / f'{preset}.png'
            done, encoded = cv2.imencode('.png', _picture(preset, groups, results))
            assert done
            path.write_bytes(encoded.tobytes())
            written.append(path)
    return written


def _bars(case: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    name = case_name(case)
    reference = case['turns'].get(results['reference'], {}).get('wall_s')
    bars = {
        key: factor(reference, turns['wall_s'])
        for key, turns in case['turns'].items()
        if key != results['reference'] and reference and turns['wall_s']
    }
    return f'{name}, {size_name(case)}', bars


def _picture(
    preset: str, groups: Sequence[tuple[str, dict[str, float]]], results: Mapping[str, Any]
) -> Picture:
    keys = list(dict.fromkeys(key for _, bars in groups for key in bars))
    colours = {key: _COLOURS[index % len(_COLOURS)] for index, key in enumerate(keys)}
    rows = sum(len(bars) for _, bars in groups)
    height = _TOP + 16 * len(keys) + rows * _BAR + (len(groups) + 1) * _GAP
    canvas = np.full((height, _WIDTH, 3), 255, np.uint8)
    reference = results['titles'][results['reference']]
    _write(canvas, f'{preset}: times faster than {reference}', (10, 18), _BLACK)
    for index, key in enumerate(keys):
        y = _TOP + 16 * index
        cv2.rectangle(canvas, (_LEFT, y), (_LEFT + 12, y + 10), colours[key], -1)
        _write(canvas, results['titles'][key], (_LEFT + 20, y + 10), _BLACK)
    top = max([1.0, *(value for _, bars in groups for value in bars.values())])
    unit = (_WIDTH - _LEFT - _RIGHT) / top
    y = _TOP + 16 * len(keys) + _GAP
    for whole in range(1, int(top) + 1):
        x = _LEFT + round(unit * whole)
        cv2.line(canvas, (x, y), (x, height), _BLACK if whole == 1 else _GREY, 1)
    for name, bars in groups:
        _write(canvas, name, (10, y + 11), _BLACK)
        for key, value in bars.items():
            end = (_LEFT + round(unit * value), y + _BAR - 3)
            cv2.rectangle(canvas, (_LEFT, y), end, colours[key], -1)
            _write(canvas, f'{value:.2f}x', (end[0] + 5, end[1]), _BLACK)
            y += _BAR
        y += _GAP
    return canvas


def _write(canvas: Picture, text: str, place: tuple[int, int], colour: Sequence[float]) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
