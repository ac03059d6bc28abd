"""All merged clouds of a recording as one cloud of one world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from da3_ros.errors import SourceError
from da3_ros.geometry.voxel_map import FusedPoints, VoxelMap
from da3_ros.notes import Note
from da3_ros.sinks.definitions import shared_definitions
from da3_ros.sources.bag import BagReader
from da3_ros.sources.clouds import CLOUD_TYPE, coloured_points_of

_REPORT_TYPE = 'da3_ros/msg/WindowReport'
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class FusedCloud:
    """What became of the clouds of a topic."""

    points: FusedPoints
    topic: str
    frame_id: str
    """Frame of the points."""
    clouds: int
    """Clouds that are in it."""
    is_metric: bool | None
    """Whether the unit is the metre, as the window reports say; None without such reports."""
    notes: tuple[Note, ...]
    """What was left out."""


@dataclass(frozen=True, slots=True)
class _World:
    """A run of windows in one world and one unit."""

    number: int
    is_metric: bool


def cloud_topic(bag: BagReader, asked: str = '') -> str:
    """Return the topic whose clouds are fused: the one asked for, `/points`, or the only one.

    Raises:
        SourceError: there is none, or several to choose from.
    """
    names = [t.name for t in bag.topics if t.msgtype == CLOUD_TYPE and t.count]
    if asked:
        if asked in names:
            return asked
        raise SourceError(
            f'bag {bag.path}: no clouds on {asked}; it has {", ".join(names) or "none"}'
        )
    if '/points' in names:
        return '/points'
    if len(names) == 1:
        return names[0]
    if not names:
        raise SourceError(
            f'bag {bag.path}: expected a topic of PointCloud2 with messages, there is none. '
            '`da3 bag` writes /points beside depth'
        )
    raise SourceError(
        f'bag {bag.path}: expected /points or one topic of clouds, it has '
        f'{", ".join(names)}; choose one by --topic'
    )


def fused_cloud(
    bag: BagReader,
    voxel_size: float,
    *,
    topic: str = '',
    least_seen: int = 1,
    least_confidence: float = 1.0,
    progress: Callable[[float], object] = lambda share: None,
) -> FusedCloud:
    """Return the clouds of a bag as one, of the longest world in metres that its reports know.

    A world is what a window report begins as `first`, or whose unit becomes the metre: clouds of
    another one have another origin or unit and are left out, with a note.

    Args:
        bag: opened.
        voxel_size: edge of the voxels, unit of the clouds.
        topic: of the clouds; empty for `cloud_topic`'s choice.
        least_seen: clouds that have to have points in a voxel for it to count.
        least_confidence: points below are left out, where clouds have confidence.
        progress: called with the share that is done.

    Raises:
        SourceError: there are no such clouds, they cannot be read, or their frames differ.
        GeometryError: the voxels are too small for the extent.
    """
    topic = cloud_topic(bag, topic)
    world_of = _worlds(bag, topic)
    chosen = _longest(world_of)
    fused = VoxelMap(voxel_size)
    frame_id, used, left_out = '', 0, 0
    total = next(t.count for t in bag.topics if t.name == topic)
    for number, (stamp_ns, cloud) in enumerate(_messages(bag, topic, CLOUD_TYPE)):
        progress(number / total)
        if chosen is not None and world_of.get(stamp_ns) != chosen:
            left_out += 1
            continue
        frame_id = _world_frame(str(cloud.header.frame_id), frame_id, f'bag {bag.path}, {topic}')
        points = coloured_points_of(cloud)
        kept = ~(points.confidence < least_confidence)
        fused.add(points.xyz[kept], points.rgb[kept], points.confidence[kept])
        used += 1
    progress(1.0)
    return FusedCloud(
        fused.points(least_seen),
        topic,
        frame_id,
        used,
        None if chosen is None else chosen.is_metric,
        _notes(left_out, chosen),
    )


def _world_frame(frame: str, before: str, where: str) -> str:
    """Return the frame of a cloud, which has to be that of the clouds before and none that moves.

    Raises:
        SourceError: it is not.
    """
    if before and frame != before:
        raise SourceError(f'{where}: expected clouds in one frame, got {frame!r} after {before!r}')
    if frame.endswith('_optical_frame'):
        raise SourceError(
            f'{where}: its clouds are in the frame of a camera, {frame}, which moves; expected '
            'clouds in a world frame, as /points has them'
        )
    return frame


def _notes(left_out: int, chosen: _World | None) -> tuple[Note, ...]:
    found = []
    if left_out:
        text = (
            f'{left_out} clouds were left out: they are of another world or unit than the longest '
            'one'
        )
        found.append(Note('clouds_left_out', text, {'clouds': left_out}))
    if chosen is None:
        text = 'no window reports beside the clouds: their unit is unknown'
        found.append(Note('unit_unknown', text))
    elif not chosen.is_metric:
        text = 'not metric: no length in metres was known when the clouds were made'
        found.append(Note('no_metric_source', text))
    return tuple(found)


def _worlds(bag: BagReader, topic: str) -> dict[int, _World]:
    """Return the world of every window by the stamp of its newest set; empty without reports."""
    beside = topic.rsplit('/', 1)[0] + '/window'
    reports = [t.name for t in bag.topics if t.msgtype == _REPORT_TYPE and t.count]
    if beside not in reports:
        return {}
    found: dict[int, _World] = {}
    world: _World | None = None
    for stamp_ns, report in _messages(bag, beside, _REPORT_TYPE):
        is_metric = bool(report.is_metric)
        if world is None or report.alignment_method == 'first' or is_metric != world.is_metric:
            world = _World(0 if world is None else world.number + 1, is_metric)
        found[stamp_ns] = world
    return found


def _longest(world_of: dict[int, _World]) -> _World | None:
    """Return the world with most windows among those in metres, among all where none is."""
    counts = Counter(world_of.values())
    if not counts:
        return None
    return max(counts, key=lambda world: (world.is_metric, counts[world], -world.number))


def _messages(bag: BagReader, topic: str, kind: str) -> Iterator[tuple[int, Any]]:
    """Yield the stamps of the headers and the messages."""
    definitions = shared_definitions()
    definitions.require(kind)
    for message in bag.messages([topic]):
        try:
            read: Any = definitions.typestore.deserialize_cdr(message.data, kind)
        except Exception as error:  # recorded bytes may be anything
            raise SourceError(
                f'bag {bag.path}, topic {topic}, log time {message.stamp_ns} ns: expected a '
                f'{kind}: {error}'
            ) from error
        stamp = read.header.stamp
        yield stamp.sec * _NS_PER_S + stamp.nanosec, read
