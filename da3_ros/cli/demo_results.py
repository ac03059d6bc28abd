"""What a demo run recorded, read back from its bag, and how far it is from the truth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import invert, rigid_from_xyz_xyzw
from da3_ros.metrics.depth import DepthFigures, depth_error
from da3_ros.metrics.trajectory import TrajectoryError, trajectory_error
from da3_ros.sources.bag import BagReader
from da3_ros.types import ColourImage, FloatImage


@dataclass(slots=True, eq=False)
class CameraResults:
    """Images of one camera by stamp (ns); depth in metres or scene units."""

    colour: dict[int, ColourImage] = field(default_factory=dict)
    depth: dict[int, FloatImage] = field(default_factory=dict)
    confidence: dict[int, FloatImage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WindowLine:
    """The figures of one window report."""

    stamp_ns: int
    sets: int
    """Frame sets in the window."""
    scale: float
    scale_source: str
    is_metric: bool
    estimate_s: float
    latency_s: float
    dropped_sets: int
    dropped_frames: int
    note: str


@dataclass(slots=True, eq=False)
class DemoResults:
    """Everything a run published, by stamp."""

    cameras: dict[str, CameraResults] = field(default_factory=dict)
    poses: dict[int, FloatArray] = field(default_factory=dict)
    """Stamp to odom_from_base (4, 4)."""
    windows: list[WindowLine] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class DemoTruth:
    """What the input bag knows to be true; empty for a real recording."""

    depth: dict[str, dict[int, FloatImage]] = field(default_factory=dict)
    poses: dict[int, FloatArray] = field(default_factory=dict)
    """Stamp to world_from_base (4, 4)."""


def read_results(path: Path, cameras: tuple[str, ...]) -> DemoResults:
    """Read the bag that the node's topics were recorded to."""
    results = DemoResults({name: CameraResults() for name in cameras})
    targets: dict[str, dict[int, Any]] = {}
    for name, camera in results.cameras.items():
        targets[f'/{name}/color/image'] = camera.colour
        targets[f'/{name}/depth/image'] = camera.depth
        targets[f'/{name}/depth/confidence'] = camera.confidence
    for topic, message in _messages(path, {*targets, '/odometry', '/window'}):
        if topic == '/odometry':
            results.poses[stamp_ns_of(message)] = _pose(message.pose.pose)
        elif topic == '/window':
            results.windows.append(_window_line(message))
        else:
            targets[topic][stamp_ns_of(message)] = pixels_of(message)
    return results


def read_truth(path: Path, cameras: tuple[str, ...]) -> DemoTruth:
    """Read `/truth/odometry` and `/truth/<camera>/depth` where the bag has them."""
    truth = DemoTruth({name: {} for name in cameras})
    topics = {f'/truth/{name}/depth': name for name in cameras}
    for topic, message in _messages(path, {*topics, '/truth/odometry'}):
        if topic == '/truth/odometry':
            truth.poses[stamp_ns_of(message)] = _pose(message.pose.pose)
        else:
            truth.depth[topics[topic]][stamp_ns_of(message)] = pixels_of(message)
    return truth


def compare_depth(results: DemoResults, truth: DemoTruth, *, align: bool) -> DepthFigures | None:
    """Compare all depth images with the truth of the same stamp; None when there is none.

    Args:
        results: of the run.
        truth: of its input.
        align: whether one scale for all images is fitted first.
    """
    estimates, expected = [], []
    for name, camera in results.cameras.items():
        for stamp_ns, depth in camera.depth.items():
            true_depth = truth.depth[name].get(stamp_ns)
            if true_depth is not None:
                estimates.append(_sampled(depth, true_depth.shape))
                expected.append(true_depth.ravel())
    try:
        depth, true_depth = np.concatenate(estimates), np.concatenate(expected)
        return depth_error(depth, true_depth, align_scale=align).figures
    except (ValueError, GeometryError):
        return None


def compare_trajectory(
    results: DemoResults, truth: DemoTruth, *, align: bool
) -> TrajectoryError | None:
    """Compare the poses both know, from the first common one; None with fewer than two.

    A path that determines no similarity (on one line, or standing) is compared as it is.
    """
    stamps = sorted(set(results.poses) & set(truth.poses))
    if len(stamps) < 2:
        return None
    estimate = np.stack([results.poses[s] for s in stamps])
    expected = true_poses(results, truth, stamps)
    if align:
        with suppress(GeometryError):
            return trajectory_error(estimate, expected, 'sim3')
    return trajectory_error(estimate, expected, 'none')


def true_poses(results: DemoResults, truth: DemoTruth, stamps: list[int]) -> FloatArray:
    """Return true poses (N, 4, 4) moved so that the first one is the estimate's first."""
    odom_from_world = results.poses[stamps[0]] @ invert(truth.poses[stamps[0]])
    return np.asarray(odom_from_world @ np.stack([truth.poses[s] for s in stamps]))


def _sampled(depth: FloatImage, shape: tuple[int, ...]) -> FloatImage:
    """Return the depth at the centres of another image's pixels, nearest neighbour, flat."""
    rows = ((np.arange(shape[0]) + 0.5) * depth.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * depth.shape[1] / shape[1]).astype(int)
    return depth[np.ix_(rows, columns)].ravel()


def _messages(path: Path, topics: set[str]) -> Iterator[tuple[str, Any]]:
    from rclpy.serialization import deserialize_message

    from da3_ros.ros.messages.message_types import message_class

    with BagReader(path) as bag:
        present = topics & {info.name for info in bag.topics}
        for raw in bag.messages(present):
            yield raw.topic, deserialize_message(raw.data, message_class(raw.msgtype))


def stamp_ns_of(message: Any) -> int:
    """Return the stamp of a message with a header."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def pixels_of(image: Any) -> Any:
    """Return the pixels of an Image in one of the three encodings that we record."""
    dtype, channels = {'32FC1': (np.float32, 1), 'rgb8': (np.uint8, 3), '16UC1': (np.uint16, 1)}[
        image.encoding
    ]
    pixels = np.frombuffer(image.data, dtype).reshape(image.height, image.width, channels)
    return pixels if channels == 3 else pixels[..., 0]


def _pose(pose: Any) -> FloatArray:
    p, q = pose.position, pose.orientation
    return rigid_from_xyz_xyzw([p.x, p.y, p.z, q.x, q.y, q.z, q.w])


def _window_line(report: Any) -> WindowLine:
    return WindowLine(
        stamp_ns=stamp_ns_of(report),
        sets=report.sets,
        scale=report.scale,
        scale_source=report.scale_source,
        is_metric=report.is_metric,
        estimate_s=report.estimate_s,
        latency_s=report.stamp_to_publish_s,
        dropped_sets=report.dropped_sets,
        dropped_frames=report.dropped_frames,
        note=report.note,
    )
