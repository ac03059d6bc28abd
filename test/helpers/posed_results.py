"""Results of windows over the synthetic world, posed by its truth: no estimator, no stream."""

from collections.abc import Sequence
import math

import numpy as np

from da3_ros.geometry.camera import ImageSize
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.synthetic.world import SyntheticWorld
from da3_ros.types import (
    AlignmentMethod,
    AlignmentReport,
    PosedSet,
    PosedView,
    ViewId,
    WindowResult,
)

PERIOD_NS = 200_000_000


def posed_set(world: SyntheticWorld, stamp_ns: int, size: ImageSize | None = None) -> PosedSet:
    """Return what a perfect pipeline would say about an instant, in metres."""
    views = []
    for name in world.rig.cameras:
        rendered = world.render(name, stamp_ns, size)
        views.append(
            PosedView(
                id=ViewId(name, stamp_ns, world.rig.frame_id(name)),
                depth=rendered.depth,
                image=rendered.image,
                camera=rendered.camera,
                is_calibrated=True,
                world_from_camera=world.world_from_camera(name, stamp_ns),
                confidence=np.full(rendered.depth.shape, 2.0, np.float32),
                sky=None,
            )
        )
    return PosedSet(stamp_ns, tuple(views), world.world_from_base(stamp_ns))


def report(method: AlignmentMethod = 'shared_views', *, is_metric: bool = True) -> AlignmentReport:
    """Return the report of a window that was placed well."""
    return AlignmentReport(
        method=method,
        shared_views=0 if method == 'first' else 6,
        scale=1.0,
        scale_source='rig' if is_metric else 'none',
        scale_log_sigma=0.02,
        is_metric=is_metric,
        rotation_residual_rad=math.nan,
        translation_residual=math.nan,
        depth_residual=math.nan,
    )


def window_result(
    index: int, sets: Sequence[PosedSet], *, is_metric: bool = True, starts: bool | None = None
) -> WindowResult:
    """Return a result with sets; the first index starts the world unless told otherwise."""
    is_first = index == 0 if starts is None else starts
    alignment = report('first' if is_first else 'shared_views', is_metric=is_metric)
    return WindowResult(index, len(sets), tuple(sets), alignment, estimate_s=0.2)


def drive(
    world: SyntheticWorld, windows: int, size: ImageSize | None = None, period_ns: int = PERIOD_NS
) -> list[WindowResult]:
    """Return windows of one new set each."""
    return [
        window_result(i, [posed_set(world, START_NS + i * period_ns, size)])
        for i in range(windows)
    ]
