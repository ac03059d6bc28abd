"""The scale between given cameras and predicted depth, where camera centres cannot tell it.

A network that is given poses answers with cameras at about the distances it was given, so that the
ratio of both is evidence only as far as centres check one another. On a line they do not: one
distance is fitted to one, and how long the network saw it relative to depth is unknown. Images
tell that independently, see `geometry.parallax`.
"""

import math

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.parallax import Parallax, metres_between_cameras
from da3_ros.geometry.se3 import homogeneous, invert
from da3_ros.geometry.umeyama import clear_spread
from da3_ros.inference.given_cameras import GivenCameras
from da3_ros.inference.pose_alignment import (
    PoseAlignment,
    align_by_scale,
    align_poses,
    is_line,
)
from da3_ros.inference.prediction import Prediction

FREEDOM = 0.01
"""Second extent of given centres, as a fraction of the first, from which they check one another:
below, distances along the line make 99.99 % of what a fit of the scale looks at."""

_UNMEASURED = 'depth stays in the unit of the network'


def align(prediction: Prediction, given: GivenCameras) -> tuple[PoseAlignment, tuple[str, ...]]:
    """Lay given cameras over predicted ones, with the best evidence of the scale that there is.

    With enough freedom this is `align_poses`, as the upstream API does it. Without (one or two
    views, or places; a line, see `FREEDOM`; centres which no closed form fits) the scale is that
    by parallax, and where images do not tell, `align_poses` again.

    Args:
        prediction: Prediction in the network's own world, with cameras.
        given: Known cameras; the extrinsics at least.

    Returns:
        The alignment, and notes about a scale that nothing measured.
    """
    assert prediction.extrinsics is not None
    assert given.extrinsics is not None
    alignment = align_poses(prediction.extrinsics, given.extrinsics)
    known, seen = _centres(given.extrinsics), _centres(prediction.extrinsics)
    is_free = alignment.method in ('umeyama', 'ransac') and not is_line(known, FREEDOM)
    if is_free:
        return alignment, ()
    found = seen_scale(prediction, given)
    if found is None:
        return alignment, (_unmeasured(known, seen),)
    measured = align_by_scale(
        prediction.extrinsics, given.extrinsics, math.exp(-found.log_metres), found.sigma
    )
    if given.intrinsics is not None:
        return measured, ()
    note = (
        'the scale was measured by parallax with predicted intrinsics; a wrong focal length makes '
        'it wrong by as much, which log_scale_sigma does not contain'
    )
    return measured, (note,)


def seen_scale(prediction: Prediction, given: GivenCameras) -> Parallax | None:
    """Return the length of a unit of predicted depth in the given cameras' unit, by parallax.

    It is looked for around the ratio of the distances between given and predicted cameras.

    Args:
        prediction: Prediction in the network's own world.
        given: Known cameras.

    Returns:
        None where cameras stand still, or are not known, or images do not tell.
    """
    poses, predicted = given.extrinsics, prediction.extrinsics
    cameras = _cameras(prediction, given)
    images = prediction.processed_images
    if poses is None or predicted is None or cameras is None or images is None:
        return None
    depth = prediction.depth
    if prediction.sky is not None:
        depth = np.where(prediction.sky, np.float32(np.nan), depth)
    return metres_between_cameras(images, depth, cameras, poses, _centres(predicted))


def _cameras(prediction: Prediction, given: GivenCameras) -> list[PinholeCamera] | None:
    """Return the given intrinsics, else the predicted ones; None where these are unusable."""
    try:
        known = given.cameras(ImageSize(*prediction.depth.shape[1:]))
        return prediction.cameras() if known is None else known
    except GeometryError:
        return None


def _centres(extrinsics: NDArray[np.float32]) -> FloatArray:
    """Return the centres (N, 3) of cameras (N, 3 or 4, 4)."""
    centres: FloatArray = invert(homogeneous(extrinsics))[:, :3, 3]
    return centres


def _unmeasured(known: FloatArray, seen: FloatArray) -> str:
    if len(known) == 1:
        return f'one view: nothing tells the scale of its given camera; {_UNMEASURED}'
    if clear_spread(known) == 0:
        return f'the given cameras stand in one place: nothing tells the scale; {_UNMEASURED}'
    if clear_spread(seen) == 0:
        return (
            'the network sees the given cameras in one place, where they are not: nothing tells '
            f'the scale; {_UNMEASURED}'
        )
    who = 'the given cameras stand' if is_line(known, FREEDOM) else 'the network sees the cameras'
    return (
        f'{who} on a line, and the images do not tell the scale by parallax: it is fitted to '
        'distances that the network was given, and unsure'
    )
