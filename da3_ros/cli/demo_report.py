"""Figures of a demo run in words, and its sheet."""

from __future__ import annotations

from collections import Counter
import math
from pathlib import Path
import re

import numpy as np
from numpy.typing import NDArray

from da3_ros.cli.demo_input import DemoInput
from da3_ros.cli.demo_results import (
    DemoResults,
    DemoTruth,
    WindowLine,
    compare_depth,
    compare_trajectory,
    read_results,
    read_truth,
)
from da3_ros.cli.demo_sheet import unit_text, write_sheet
from da3_ros.cli.demo_top_view import ScenePoints
from da3_ros.errors import NodeError
from da3_ros.geometry.se3 import homogeneous, invert, transform_points
from da3_ros.geometry.unproject import unproject_pixels
from da3_ros.notes import SEPARATOR
from da3_ros.types import Caution

_MAX_DRAWN_POINTS = 4_000_000
_MAX_NOTES = 2
_NUMBER = re.compile(r'\d+(\.\d+)?(e[-+]?\d+)?')


def report(
    out: Path,
    source: DemoInput,
    title: str,
    exported: tuple[Path, ...],
    played_s: float,
    caution: Caution | None = None,
) -> None:
    """Read what was recorded, print its figures and write `out/sheet.png`.

    Args:
        out: folder of the run.
        source: what was played.
        title: the model in words.
        exported: files of the scene, relative to the folder of exports.
        played_s: how long it took to play.
        caution: of the model; said unless the input is what the model was made for.

    Raises:
        NodeError: the recording holds no window report.
    """
    results = read_results(out / 'output.mcap', source.cameras)
    truth = read_truth(source.path, source.cameras)
    if not results.windows:
        raise NodeError(f'{out / "output.mcap"}: no window was recorded; see {out / "log"}')
    # Every window's note carries it; here it is said once, or not at all.
    known = '' if caution is None else caution.brief
    warning = '' if caution is None or source.is_rendered else caution.text
    lines = [
        *_flow(results, played_s, known),
        *_errors(results, truth),
        f'exported: {", ".join(str(file) for file in exported)}',
    ]
    arrays = next(out / 'exports' / file for file in exported if file.suffix == '.npz')
    write_sheet(
        out / 'sheet.png',
        results,
        truth,
        scene_points(arrays),
        f'{source.description}; {title}',
        lines,
        warning,
    )
    if warning:
        print(f'warning: {warning}')
    for line in lines:
        print(line)


def scene_points(npz: Path) -> ScenePoints:
    """Return the coloured world points of an exported scene, thinned by a fixed step."""
    clouds, colours = [], []
    with np.load(npz, allow_pickle=False) as data:
        keys = [key.removeprefix('depth') for key in data.files if key.startswith('depth')]
        for key in keys:
            depths, images = data[f'depth{key}'], data[f'image{key}']
            poses = invert(homogeneous(data[f'extrinsics{key}']))
            step = math.ceil(math.sqrt(depths.size / _MAX_DRAWN_POINTS))
            for depth, image, pose, matrix in zip(
                depths, images, poses, data[f'intrinsics{key}'], strict=True
            ):
                v, u = np.indices(depth.shape)
                uv = np.stack([u, v], -1)[::step, ::step]
                z = depth[::step, ::step]
                known = np.isfinite(z)
                in_camera = unproject_pixels(uv[known], z[known], matrix)
                clouds.append(transform_points(pose, in_camera))
                colours.append(image[::step, ::step][known])
    return ScenePoints(np.concatenate(clouds).astype(np.float32), np.concatenate(colours))


def _latencies(windows: list[WindowLine]) -> NDArray[np.float64]:
    """Return the latencies that were measured while the bag's clock still ran.

    The clock stops with the bag; what is published after that would seem to be faster than the
    estimator itself.
    """
    measured = [w.latency_s for w in windows if w.latency_s >= w.estimate_s]
    return np.array(measured or [np.nan])


def _flow(results: DemoResults, played_s: float, known: str) -> list[str]:
    windows = results.windows
    latency = _latencies(windows)
    estimate = np.array([w.estimate_s for w in windows])
    last = windows[-1]
    middle, most = np.percentile(latency, [50, 95]) * 1e3
    return [
        f'{len(windows)} windows of up to {max(w.sets for w in windows)} frame sets in '
        f'{played_s:.0f} s ({len(windows) / played_s:.2g} per second), network '
        f'{np.median(estimate) * 1e3:.0f} ms each',
        f'from image to depth: {middle:.0f} ms (median), {most:.0f} ms (95 % are faster); left '
        f'out because newer ones came: {last.dropped_sets} frame sets, {last.dropped_frames} '
        'single images',
        unit_text(results),
        *note_lines([window.note for window in windows], known),
    ]


def note_lines(texts: list[str], known: str) -> list[str]:
    """Return what windows say of themselves, most frequent first, as lines.

    What differs in its numbers only is one line, with the numbers of the last window that said it.

    Args:
        texts: the notes of every window, joined.
        known: what every window says last, and is said elsewhere.
    """
    counts: Counter[str] = Counter()
    newest: dict[str, str] = {}
    for text in texts:
        said = text.removesuffix(known).removesuffix(SEPARATOR)
        if said:
            kind = _NUMBER.sub('', said)
            counts[kind] += 1
            newest[kind] = said
    return [
        f'note, in {count} of {len(texts)} windows: {newest[kind]}'
        for kind, count in counts.most_common(_MAX_NOTES)
    ]


def _errors(results: DemoResults, truth: DemoTruth) -> list[str]:
    lines = []
    for align in (False, True):
        depth = compare_depth(results, truth, align=align)
        if depth is not None:
            how = 'after fitting one scale' if align else 'as published'
            lines.append(
                f'depth error {how}: {100 * depth.abs_rel:.2g} % of the distance (AbsRel); '
                f'{100 * depth.delta1:.1f} % of {depth.pixels} pixels within a factor of 1.25 '
                '(delta1)'
            )
        path = compare_trajectory(results, truth, align=align)
        if path is not None:
            is_fitted = path.alignment == 'sim3'
            fit = 'after fitting a similarity' if is_fitted else 'from the first pose on'
            lines.append(
                f'trajectory error {fit}: {_distance(path.rmse)}, '
                f'{np.degrees(path.rotation_rmse_rad):.2g} degrees (root mean square)'
            )
    return lines


def _distance(metres: float) -> str:
    return f'{metres:.2g} m' if metres >= 1 or metres < 1e-3 else f'{100 * metres:.2g} cm'
