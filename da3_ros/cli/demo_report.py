"""Figures of a demo run in words, and its sheet."""

from __future__ import annotations

import math
from pathlib import Path

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
from da3_ros.cli.demo_sheet import write_sheet
from da3_ros.cli.demo_top_view import ScenePoints
from da3_ros.errors import NodeError
from da3_ros.geometry.se3 import homogeneous, invert, transform_points
from da3_ros.geometry.unproject import unproject_pixels
from da3_ros.notes import SEPARATOR
from da3_ros.types import Caution

_MAX_DRAWN_POINTS = 4_000_000


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
    p50, p95 = np.percentile(latency, [50, 95])
    lines = [
        f'{len(windows)} windows of up to {max(w.sets for w in windows)} sets in {played_s:.0f} s '
        f'({len(windows) / played_s:.2f} Hz), estimator {np.median(estimate) * 1e3:.0f} ms each',
        f'image stamp to publishing: p50 {p50 * 1e3:.0f} ms, p95 {p95 * 1e3:.0f} ms; dropped: '
        f'{last.dropped_sets} sets (newest wins), {last.dropped_frames} single images',
        f'scale from {last.scale_source}, {"metric" if last.is_metric else "not metric"}',
    ]
    # What every window says is joined last.
    notes = dict.fromkeys(w.note.removesuffix(known).removesuffix(SEPARATOR) for w in windows)
    return lines + [f'note: {note}' for note in list(filter(None, notes))[:2]]


def _errors(results: DemoResults, truth: DemoTruth) -> list[str]:
    lines = []
    for align in (False, True):
        how = 'after fitting one scale' if align else 'as published'
        depth = compare_depth(results, truth, align=align)
        if depth is not None:
            lines.append(
                f'depth error {how}: AbsRel {depth.abs_rel:.2g}, delta1 {depth.delta1:.3f} '
                f'({depth.pixels} pixels)'
            )
        path = compare_trajectory(results, truth, align=align)
        if path is not None:
            fit = 'after fitting a similarity' if path.aligned else 'from the first pose on'
            lines.append(
                f'trajectory error {fit}: {path.rmse:.2g} m, '
                f'{np.degrees(path.rotation_rmse_rad):.2g} deg (RMS)'
            )
    return lines
