"""Known cameras against predicted ones: normalisation before, alignment after the network."""

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.robust import ransac_similarity
from da3_ros.geometry.rotation import nearest_rotation
from da3_ros.geometry.se3 import homogeneous, invert
from da3_ros.geometry.sim3 import Sim3
from da3_ros.geometry.umeyama import clear_spread, similarity_from_points

FloatsT = TypeVar('FloatsT', NDArray[np.float32], NDArray[np.float64])

AlignmentMethod = Literal[
    'umeyama', 'ransac', 'parallax', 'orientations', 'orientations_unit_scale'
]

RANSAC_MIN_VIEWS = 10
MIN_MEDIAN_DISTANCE = 0.1
LINE_TOLERANCE = 1e-4
"""Cameras count as standing on a line when their second extent is this fraction of the first."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseAlignment:
    """How given cameras were laid over the predicted ones."""

    method: AlignmentMethod
    """`umeyama`: closed form over all camera centres; `ransac`: the same, robust, from ten views
    on; `parallax`: rotation from the cameras' orientations and scale measured in the images,
    because the centres have too little freedom to check one another, see `parallax_scale`;
    `orientations`: the same where images do not tell, scale from the ratio of the spreads of the
    centres, that is from distances which the network had been given; `orientations_unit_scale`:
    as before, but all cameras stand in one place and nothing tells the scale."""

    predicted_from_input: Sim3
    """Similarity from the given cameras' world to the predicted one."""

    aligned_extrinsics: FloatArray
    """(N, 4, 4) camera_from_world of the given cameras, moved into the predicted world."""

    predicted_extrinsics: NDArray[np.float32]
    """(N, 3, 4) camera_from_world as the network predicted them."""

    residual: float
    """Root mean square distance of the given cameras, moved, from the predicted ones, in units of
    the predicted world. With `parallax` it shows by how much the network misjudged distances."""

    log_scale_sigma: float | None = None
    """Standard deviation of the logarithm of the scale, where it was measured by `parallax`; None
    elsewhere: what was given is no evidence of how right it is."""

    @property
    def scale(self) -> float:
        """Length in the predicted world of one unit of the given cameras' world."""
        return self.predicted_from_input.scale


def normalise_extrinsics(extrinsics: FloatsT) -> FloatsT:
    """Bring known cameras into the frame and scale the network was trained with.

    The first camera becomes the origin, and the (lower) median distance of all cameras from it,
    the first one's zero included, becomes one, unless it is tiny.

    Args:
        extrinsics: (..., V, 4, 4) camera_from_world; V >= 1.

    Returns:
        (..., V, 4, 4) normalised camera_from_world, of the same type.
    """
    scaled = extrinsics @ np.linalg.inv(extrinsics[..., :1, :, :])
    rotation, translation = scaled[..., :3, :3], scaled[..., :3, 3:]
    centres = -(np.swapaxes(rotation, -1, -2) @ translation)[..., 0]
    distances = np.sort(np.linalg.norm(centres, axis=-1), axis=-1)
    median = np.maximum(distances[..., (distances.shape[-1] - 1) // 2], MIN_MEDIAN_DISTANCE)
    scaled[..., :3, 3] /= median[..., None, None]
    return scaled


def in_reach(poses: FloatArray) -> FloatArray:
    """Return poses (N, 4, 4) seen from the first, two of them at most one unit apart.

    Seen from the first they survive float32 however far away the odometry's origin is. The
    network's input is then normalised by the lower median of the distances from the first camera,
    that one's own zero included, but never by less than 0.1. Of two cameras the zero is the
    median, so that they would stand ten units apart for every metre. Only here, where the unit is
    measured afterwards, may they be brought nearer.
    """
    near: FloatArray = invert(poses[0]) @ poses
    apart = float(np.linalg.norm(near[-1, :3, 3]))
    if len(near) == 2 and apart > MIN_MEDIAN_DISTANCE:
        near[1, :3, 3] *= MIN_MEDIAN_DISTANCE / apart
    return near


def align_poses(predicted: NDArray[np.float32], given: NDArray[np.float32]) -> PoseAlignment:
    """Find the similarity that lays given cameras over predicted ones.

    Never fails on legitimate cameras: one or two views, cameras on a line or in one place fall
    back to what the data determine, and the method says so.

    Args:
        predicted: (N, 3, 4) predicted camera_from_world.
        given: (N, 4, 4) known camera_from_world.

    Returns:
        The alignment.
    """
    world_from_predicted = invert(homogeneous(predicted))
    world_from_given = invert(homogeneous(given))
    targets, sources = world_from_predicted[:, :3, 3], world_from_given[:, :3, 3]
    method, similarity = _closed_form(sources, targets)
    if similarity is None:
        method, similarity = _by_orientations(world_from_given, world_from_predicted)
    return _alignment(method, similarity, predicted, world_from_given, world_from_predicted)


def align_by_scale(
    predicted: NDArray[np.float32],
    given: NDArray[np.float32],
    scale: float,
    log_scale_sigma: float,
) -> PoseAlignment:
    """Lay given cameras over predicted ones with a scale that was measured by parallax.

    Args:
        predicted: (N, 3, 4) predicted camera_from_world.
        given: (N, 4, 4) known camera_from_world.
        scale: Length in the predicted world of one unit of the given one.
        log_scale_sigma: Standard deviation of its logarithm.
    """
    world_from_predicted = invert(homogeneous(predicted))
    world_from_given = invert(homogeneous(given))
    similarity = _with_orientations(world_from_given, world_from_predicted, scale)
    found = _alignment('parallax', similarity, predicted, world_from_given, world_from_predicted)
    return replace(found, log_scale_sigma=log_scale_sigma)


def _alignment(
    method: AlignmentMethod,
    similarity: Sim3,
    predicted: NDArray[np.float32],
    world_from_given: FloatArray,
    world_from_predicted: FloatArray,
) -> PoseAlignment:
    targets = world_from_predicted[:, :3, 3]
    moved = similarity.apply_to_pose(world_from_given)
    residual = float(np.sqrt(((moved[:, :3, 3] - targets) ** 2).sum(axis=1).mean()))
    return PoseAlignment(method, similarity, invert(moved), predicted, residual)


def _closed_form(sources: FloatArray, targets: FloatArray) -> tuple[AlignmentMethod, Sim3 | None]:
    method: AlignmentMethod = 'ransac' if len(sources) >= RANSAC_MIN_VIEWS else 'umeyama'
    if any(
        is_line(points, LINE_TOLERANCE) or clear_spread(points) == 0
        for points in (sources, targets)
    ):
        return method, None
    try:
        if method == 'ransac':
            return method, ransac_similarity(sources, targets).target_from_source
        return method, similarity_from_points(sources, targets)
    except GeometryError:
        return method, None


def is_line(points: FloatArray, tolerance: float) -> bool:
    """Tell whether points (N, 3) lie on one line.

    Their second extent is then at most this fraction of the first, which holds for fewer than
    three points, for more of them in two places, and for all of them in one.
    """
    extents = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return len(points) < 3 or bool(extents[1] <= tolerance * extents[0])


def _by_orientations(
    world_from_given: FloatArray, world_from_predicted: FloatArray
) -> tuple[AlignmentMethod, Sim3]:
    sources, targets = world_from_given[:, :3, 3], world_from_predicted[:, :3, 3]
    given, wanted = clear_spread(sources), clear_spread(targets)
    method: AlignmentMethod = 'orientations'
    scale = wanted / given if given > 0 and wanted > 0 else 1.0
    if given == 0 or wanted == 0:
        method = 'orientations_unit_scale'
    return method, _with_orientations(world_from_given, world_from_predicted, scale)


def _with_orientations(
    world_from_given: FloatArray, world_from_predicted: FloatArray, scale: float
) -> Sim3:
    # Every camera tells the rotation between the worlds; their chordal mean is taken.
    votes = world_from_predicted[:, :3, :3] @ world_from_given[:, :3, :3].transpose(0, 2, 1)
    rotation = nearest_rotation(votes.sum(axis=0))
    sources, targets = world_from_given[:, :3, 3], world_from_predicted[:, :3, 3]
    translation = targets.mean(axis=0) - scale * (rotation @ sources.mean(axis=0))
    return Sim3(scale, rotation, translation)
