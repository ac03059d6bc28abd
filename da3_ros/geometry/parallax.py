"""How many metres a unit of predicted depth is, by how near things move between known cameras.

A network that is given camera poses still has to see how long their distances are relative to the
scene, and small or fast ones see that badly. Here depth is put to the test: points of one view are
moved into others by the known poses, in metres, for many metres per unit of depth; where the
images agree best, depth and poses have one unit. Only this one number is looked for, and nearly
all pixels tell something about it.

Images are compared after subtracting the local mean and dividing by the local deviation, so that
exposure does not matter, and differences are bounded, so that what moves or is hidden does not.

Source: plane sweeping (Collins, "A space-sweep approach to true multi-image matching", 1996), with
predicted depth in place of planes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.parallax_spread import GRID, agreement, lowest, part_costs
from da3_ros.geometry.se3 import homogeneous, invert
from da3_ros.geometry.umeyama import clear_spread
from da3_ros.geometry.unproject import unproject_pixels

Float32Array = NDArray[np.float32]

LARGEST_SIDE = 196
"""Images are compared at this size at most: a pixel there is a pixel of parallax."""
REACH = 0.8
"""Of the search to both sides, in the logarithm of metres per unit."""

_COARSE = np.linspace(-REACH, REACH, 17)
_FINE = np.linspace(-0.1, 0.1, 9)
_POINTS = 1200
_LEAST_POINTS = 60
_PARTNERS = 3
_WANTED_PARALLAX_PX = 8.0
_LEAST_PARALLAX_PX = 0.7
_LEAST_COSINE = 0.5
_LOCAL_PX = 3.0
_SMOOTH_PX = 0.8
# Of grey levels: smaller deviations are noise.
_FLAT = 3.0
_MOST_DIFFERENCE = 1.5
# The best agreement must be better than usual by this share.
_LEAST_CONTRAST = 0.1
_NEAREST = 1e-3
# No logarithm of metres per unit is further from 0, and pixels stay within float32.
_FARTHEST = 25.0


@dataclass(frozen=True, slots=True)
class Parallax:
    """A measurement of the unit of depth."""

    log_metres: float
    """Logarithm of metres per unit."""
    sigma: float
    """Its standard deviation, by how well parts of the images agree about it."""
    difference: float
    """Mean difference of the images there, in their local deviations: less is better."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Points of one view in another, for any metres per unit."""

    view: int
    value: Float32Array
    """(P,) what the view shows there."""
    direction: Float32Array
    """(3, P) homogeneous pixels in the other view are metres * direction + origin."""
    origin: Float32Array
    """(3, 1)."""
    other: Float32Array
    """(H, W) the other view."""

    def places(self, metres: FloatArray) -> tuple[Float32Array, NDArray[np.bool_]]:
        """Return pixels (2, G, P) of the points for G metres per unit, and which are inside."""
        spots = metres.astype(np.float32)[:, None, None] * self.direction + self.origin
        z = spots[:, 2]
        pixels = spots[:, :2] / np.maximum(z, _NEAREST)[:, None]
        height, width = self.other.shape
        u, v = pixels[:, 0], pixels[:, 1]
        inside = (z > _NEAREST) & (u > 0) & (v > 0) & (u < width - 1) & (v < height - 1)
        return np.stack([u, v]), inside

    def costs(self, places: Float32Array) -> FloatArray:
        """Return the sums of differences (G,) at pixels (2, G, P)."""
        seen = cv2.remap(self.other, places[0], places[1], cv2.INTER_LINEAR)
        difference = np.minimum(np.abs(seen - self.value), _MOST_DIFFERENCE)
        return np.asarray(difference.sum(axis=1), np.float64)

    def within(self, points: NDArray[np.bool_]) -> _Pair:
        """Return some of the points."""
        return _Pair(
            self.view, self.value[points], self.direction[:, points], self.origin, self.other
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Views:
    """Images to compare, and points of each; what does not depend on the unit of depth."""

    shown: list[Float32Array]
    """(H, W) per view, see `_comparable`."""
    matrices: FloatArray
    """(N, 3, 3) in pixels, the first pixel's centre at (0, 0), as images are sampled."""
    camera_from_world: FloatArray
    """(N, 4, 4) metres."""
    points: list[FloatArray]
    """(3, P) per view, in its camera, in the unit of depth; P is zero where none is known."""
    values: list[Float32Array]
    """(P,) per view: what it shows there."""

    @staticmethod
    def of(
        images: NDArray[np.uint8],
        depth: NDArray[np.floating],
        cameras: Sequence[PinholeCamera],
        camera_from_world: NDArray[np.floating],
    ) -> _Views:
        """Return the views of `metres_by_parallax`, made small enough."""
        height, width = images.shape[1:3]
        shrink = min(1.0, LARGEST_SIDE / max(height, width))
        size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
        area = cv2.INTER_AREA
        shown = [_comparable(cv2.resize(image, size, interpolation=area)) for image in images]
        shrunk = ImageSize(size[1], size[0])
        matrices = np.stack([camera.resized(shrunk).K for camera in cameras])
        step = max(1, math.isqrt(size[0] * size[1] // _POINTS))
        v, u = np.mgrid[step // 2 : size[1] : step, step // 2 : size[0] : step].reshape(2, -1)
        uv = np.stack([u, v], axis=-1)
        points, values = [], []
        for image, matrix, z in zip(shown, matrices, depth, strict=True):
            near = cv2.resize(z.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)[v, u]
            known = np.isfinite(near) & (near > 0)
            points.append(unproject_pixels(uv[known], near[known], matrix).T)
            values.append(image[v[known], u[known]])
        return _Views(shown, matrices, np.asarray(camera_from_world, np.float64), points, values)

    def pairs(self, metres: float) -> Iterator[_Pair]:
        """Yield every view with those others whose parallax is closest to what tells most."""
        poses = self.camera_from_world
        for view, points in enumerate(self.points):
            if not points.size:
                continue
            middle = metres * float(np.median(points[2]))
            for other in _partners(poses, view, self.matrices[view, 0, 0] / middle):
                other_from_view = poses[other] @ invert(poses[view])
                matrix = self.matrices[other]
                yield _Pair(
                    view,
                    self.values[view],
                    (matrix @ other_from_view[:3, :3] @ points).astype(np.float32),
                    (matrix @ other_from_view[:3, 3:]).astype(np.float32),
                    self.shown[other],
                )


def metres_between_cameras(
    images: NDArray[np.uint8],
    depth: NDArray[np.floating],
    cameras: Sequence[PinholeCamera],
    camera_from_world: NDArray[np.floating],
    predicted: FloatArray,
    log_guess: float | None = None,
) -> Parallax | None:
    """Return how many metres a unit of depth is, for cameras that were predicted, too.

    Args:
        images: as for `metres_by_parallax`.
        depth: as there.
        cameras: as there.
        camera_from_world: as there.
        predicted: (N, 3) where the cameras are by the prediction, in the unit of depth.
        log_guess: as there, where it is known; None to look widely around the ratio of the known
            distances between the cameras to the predicted ones.

    Returns:
        None when the cameras stand in one place, known or predicted, or the views do not tell.
    """
    known_m = clear_spread(invert(homogeneous(camera_from_world))[:, :3, 3])
    units = clear_spread(predicted)
    if known_m == 0 or units == 0:
        return None
    around = math.log(known_m / units) if log_guess is None else log_guess
    if abs(around) > _FARTHEST:
        return None
    return metres_by_parallax(
        images, depth, cameras, camera_from_world, around, is_vague=log_guess is None
    )


def metres_by_parallax(
    images: NDArray[np.uint8],
    depth: NDArray[np.floating],
    cameras: Sequence[PinholeCamera],
    camera_from_world: NDArray[np.floating],
    log_guess: float,
    *,
    is_vague: bool = False,
) -> Parallax | None:
    """Return how many metres a unit of depth is.

    Args:
        images: (N, H, W, 3) RGB.
        depth: (N, H, W) z in any unit, the same for all views; what is not positive and finite is
            left out.
        cameras: N cameras of the images.
        camera_from_world: (N, 4, 4) known poses, metres.
        log_guess: logarithm of metres per unit to look around, by up to `REACH`.
        is_vague: look as far again on both sides when nothing is found there.

    Returns:
        None when the views do not tell: too close together, too little in common, no texture, or
        no agreement.
    """
    views = _Views.of(images, depth, cameras, camera_from_world)
    found = _around(views, log_guess)
    if found is not None or not is_vague:
        return found
    sides = [_around(views, log_guess + side * 1.5 * REACH) for side in (-1, 1)]
    answers = [side for side in sides if side is not None]
    return min(answers, key=lambda side: side.difference, default=None)


def _around(views: _Views, log_guess: float) -> Parallax | None:
    """Return what is found within `REACH` of a guess."""
    coarse: dict[int, FloatArray] = {}
    kept = []
    for pair in views.pairs(math.exp(log_guess)):
        places, inside = pair.places(np.exp(log_guess + _COARSE))
        # The same points at every place, or leaving the image would pay.
        common = np.asarray(inside.all(axis=0))
        if common.sum() >= _LEAST_POINTS:
            kept.append(pair.within(common))
            costs = kept[-1].costs(np.ascontiguousarray(places[:, :, common]))
            coarse[pair.view] = coarse.get(pair.view, 0.0) + costs
    if not kept:
        return None
    total = np.sum(list(coarse.values()), axis=0)
    best = int(np.argmin(total))
    is_clear = total[best] < (1 - _LEAST_CONTRAST) * float(np.median(total))
    if not is_clear or best in (0, len(_COARSE) - 1):
        return None
    near = log_guess + _COARSE[best] + _FINE
    fine = np.sum([pair.costs(pair.places(np.exp(near))[0]) for pair in kept], axis=0)
    found = lowest(near, fine)
    sigma = _sigma(views, found)
    if sigma is None:
        return None
    points = sum(len(pair.value) for pair in kept)
    return Parallax(found, sigma, float(fine.min()) / points)


def _sigma(views: _Views, found: float) -> float | None:
    """Return how well a unit is known; None where parts of the images contradict it."""
    costs = []
    for pair in views.pairs(math.exp(found)):
        places, inside = pair.places(np.exp(found + GRID))
        part = part_costs(pair.other, pair.value, places, inside, _MOST_DIFFERENCE)
        if part is not None:
            costs.append(part)
    agreed = agreement(costs)
    return None if agreed is None else agreed.sigma(len(views.shown))


def _partners(poses: FloatArray, view: int, px_per_m: float) -> list[int]:
    """Return the views to compare a view with, the best first."""
    relative = poses @ invert(poses[view])
    parallax = px_per_m * np.linalg.norm(relative[:, :3, 3], axis=1)
    useful = (parallax > _LEAST_PARALLAX_PX) & (relative[:, 2, 2] > _LEAST_COSINE)
    order = np.argsort(np.abs(np.log(np.maximum(parallax, _NEAREST) / _WANTED_PARALLAX_PX)))
    return [int(other) for other in order if useful[other]][:_PARTNERS]


def _comparable(image: NDArray[np.uint8]) -> Float32Array:
    """Return an image (H, W) without its local brightness and contrast."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    flat = grey - cv2.GaussianBlur(grey, (0, 0), _LOCAL_PX)
    deviation = np.sqrt(cv2.GaussianBlur(flat * flat, (0, 0), _LOCAL_PX) + _FLAT**2)
    return np.asarray(cv2.GaussianBlur(flat / deviation, (0, 0), _SMOOTH_PX), np.float32)
