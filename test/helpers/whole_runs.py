"""Whole inputs through pipelines that drop nothing, and what came of every frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
import struct

import numpy as np

from da3_ros.errors import PipelineError
from da3_ros.options import OptionValue, from_flat
from da3_ros.pipeline.every_frame import every_result
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.rig import RigSource
from da3_ros.types import CameraFrame, Estimator, WindowResult
from helpers.pipelines import Rig
from helpers.stream_builders import PERIOD_NS, frame

_NOTHING = np.broadcast_to(np.uint8(0), (1, 1, 3))


@dataclass(eq=False)
class Run:
    """What came of an input."""

    pipeline: Pipeline
    results: list[WindowResult] = field(default_factory=list)
    failures: list[PipelineError] = field(default_factory=list)

    @property
    def used(self) -> Counter[tuple[str, int]]:
        """Camera and stamp of every view that came out as new."""
        sets = [posed for result in self.results for posed in result.new_sets]
        return Counter(
            (view.id.camera, view.id.stamp_ns) for posed in sets for view in posed.views
        )

    @property
    def dropped(self) -> Counter[str]:
        """Frames that reached no result, by camera."""
        counts: Counter[str] = Counter()
        for drop in self.pipeline.sync_report().dropped:
            counts[drop.camera] += drop.count
        return counts


def offline(
    estimator: Estimator,
    cameras: Sequence[str],
    rig: RigSource | None = None,
    *,
    quarter_turns: Mapping[str, int] | None = None,
    clock: Callable[[], float] | None = None,
    **values: OptionValue,
) -> Pipeline:
    """Return a pipeline that drops nothing and reads no clock of this machine."""
    options = from_flat({'cameras': tuple(cameras), 'sync_tolerance_s': 0.01, **values})
    return Pipeline(
        options,
        estimator,
        rig or Rig(),
        quarter_turns=quarter_turns,
        clock=clock,
        keeps_all=True,
    )


def run_of(pipeline: Pipeline, frames: Iterable[CameraFrame], resumed: bytes | None = None) -> Run:
    """Return what comes of an input."""
    run = Run(pipeline)
    run.results.extend(every_result(pipeline, frames, run.failures.append, resumed))
    return run


def undecodable(given: CameraFrame, decode: Callable[[], None] = lambda: None) -> CameraFrame:
    """Return a compressed frame whose pixels cannot be had."""
    return replace(given, image=_NOTHING, pending=decode)


def jittered(cameras: Sequence[str], sets: int, rng: np.random.Generator) -> list[CameraFrame]:
    """Return frames in the order of arrival: late by a camera's own time, and some are missing."""
    delay = rng.uniform(0, 2 * PERIOD_NS, len(cameras))
    arrivals = [
        (float(stamp_ns + delay[place]), frame(camera, stamp_ns))
        for place, camera in enumerate(cameras)
        for index in range(sets)
        if rng.random() > 0.1
        for stamp_ns in [index * PERIOD_NS + int(rng.integers(0, 9_000_000))]
    ]
    return [one for _, one in sorted(arrivals, key=lambda arrival: arrival[0])]


def bits(value: object) -> object:
    """Return a value in which equal means equal to the last bit, NaN included."""
    if isinstance(value, (np.ndarray, np.generic)):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, float):
        return struct.pack('<d', value)
    if is_dataclass(value):
        return type(value).__name__, [bits(getattr(value, part.name)) for part in fields(value)]
    if isinstance(value, Mapping):
        return [(bits(key), bits(one)) for key, one in value.items()]
    if isinstance(value, (tuple, list)):
        return [bits(one) for one in value]
    return value
