"""The one check of what an estimator says about a window.

Behind it nothing has to be asked again: every pose is exactly rigid, every number is finite and
within bounds that leave room for any arithmetic in float64 and for depth in float32, and all
images of a view have one size. The unit of a window is its estimator's own, so the bounds are
wide: they separate numbers that some scene may have from those that none has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError, StreamError
from da3_ros.geometry.arrays import FloatArray, extremes
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import PixelMap
from da3_ros.geometry.se3 import are_rigid, nearest_rigid, require_rigid
from da3_ros.notes import Note
from da3_ros.stream.placing import pixel_map_of
from da3_ros.types import CameraFrame, FloatImage, Mask, ViewPrediction, Window, WindowPrediction

LONGEST = 1e9
"""Depth and distances above are none, in the unit of a window."""
SHORTEST = 1e-9
"""Depth below is none."""
FOCAL = (1e-2, 1e3)
"""Focal lengths within these may be, in larger sides of the image."""
FARTHEST_CENTRE = 1e4
"""How far from the image a principal point may be, in larger sides of the image."""
PIXEL_STEP = (1e-5, 1e5)
"""Pixels of a view per pixel of its camera's image, within which a view may be resized."""
FARTHEST_SHIFT_PX = 1e7
LARGEST_UNIT_SIGMA = 10.0
"""Of a logarithm: more says less than nothing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a window cannot be used."""

    text: str
    """Names the view, its camera, the quantity, its value and what may be."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """`value` and `limit`, where it is a number that is beyond one."""


def checked_prediction(
    window: Window, prediction: WindowPrediction, sideways: Collection[str] = ()
) -> WindowPrediction | Refusal:
    """Return a prediction that is safe to compute with, or why it cannot be used.

    Depth becomes float32 with NaN where there is none, confidence float32 of at least 1, and the
    sky a mask; a note counts pixels whose number cannot be. Poses become exactly rigid in float64:
    a network's float32 rotations are off by rounding, and left so, the error would grow with every
    window that is placed by the one before.

    Args:
        window: as the estimator saw it.
        prediction: what it said.
        sideways: cameras whose views will be rotated by an odd number of quarters.

    Raises:
        StreamError: the number of views is not the window's, or one is no `ViewPrediction`.
    """
    frames = window.views
    if len(prediction.views) != len(frames):
        raise StreamError(
            f'window {window.index}: the estimator returned {len(prediction.views)} views, '
            f'the window has {len(frames)}'
        )
    _require_views(window.index, frames, prediction.views)
    refusal = next(_of_unit(prediction.unit_sigma), None)
    poses = _rigid_poses(prediction.views)
    views: list[ViewPrediction] = []
    notes: list[Note] = []
    for index, (frame, view) in enumerate(zip(frames, prediction.views, strict=True)):
        pose = None if poses is None else poses[index]
        has_depth = view.depth is not None or window.needs_depth(frame.id)
        is_sideways = frame.camera in sideways
        refusal = refusal or next(_of_view(frame, view, pose, is_sideways, has_depth), None)
        if refusal is not None:
            place = f'view {index} (camera {frame.camera}, stamp {frame.stamp_ns})'
            return replace(refusal, text=f'{place}: {refusal.text}')
        exact = nearest_rigid(view.window_from_camera) if pose is None else pose
        views.append(_usable_view(frame.camera, view, exact, notes))
    return replace(prediction, views=tuple(views), notes=(*prediction.notes, *notes))


def _require_views(
    window: int, frames: Sequence[CameraFrame], views: Sequence[ViewPrediction]
) -> None:
    for frame, view in zip(frames, views, strict=True):
        if not isinstance(view, ViewPrediction):
            raise StreamError(
                f'window {window}: expected a ViewPrediction of camera {frame.camera}, '
                f'got {type(view).__name__}'
            )


def _rigid_poses(views: Sequence[ViewPrediction]) -> FloatArray | None:
    """Return the poses of all views (N, 4, 4), made exactly rigid, at once.

    None where one is no pose, or none that lies in a plain array: then each is looked at alone.
    """
    poses = [view.window_from_camera for view in views]
    if not all(_is_array(pose, 'f') and pose.shape == (4, 4) for pose in poses):
        return None
    together = np.array(poses, np.float64)
    return nearest_rigid(together) if are_rigid(together).all() else None


def _of_unit(sigma: float | None) -> Iterator[Refusal]:
    if sigma is not None and not 0 <= sigma <= LARGEST_UNIT_SIGMA:
        yield _beyond('the error of its unit (unit_sigma)', sigma, 0, LARGEST_UNIT_SIGMA)


def _of_view(
    frame: CameraFrame,
    view: ViewPrediction,
    pose: FloatArray | None,
    is_sideways: bool,
    has_depth: bool,
) -> Iterator[Refusal]:
    """Yield what is wrong with a view; what comes later relies on what came before.

    Args:
        frame: that the view is of.
        view: what was said.
        pose: its pose where that is one; None where it is still to be looked at.
        is_sideways: whether the image will be rotated by an odd number of quarters.
        has_depth: whether there is depth, or has to be.
    """
    try:
        pose = require_rigid('pose', view.window_from_camera) if pose is None else pose
    except GeometryError as error:
        yield Refusal(str(error))
        return
    distance = max(map(abs, pose[:3, 3].tolist()))
    if distance > LONGEST:
        yield _beyond('its distance from the origin of the window', distance, 0, LONGEST)
    yield from _of_images(view, has_depth)
    size = ImageSize(*view.image.shape[:2])
    for name, camera in (('camera', view.camera), ('calibration', view.calibrated_camera)):
        if camera is None and name == 'calibration':
            continue
        if not isinstance(camera, PinholeCamera):
            yield Refusal(f'expected the intrinsics of a camera, got {type(camera).__name__}')
            return
        yield from _of_camera(name, camera, size, is_sideways)
    yield from _of_pixel_map(pixel_map_of(frame, view))


def _of_images(view: ViewPrediction, has_depth: bool) -> Iterator[Refusal]:
    image, depth = view.image, view.depth
    if has_depth and not _is_depth(depth):
        yield Refusal(f'expected a depth image (h, w) of numbers, got {_named(depth)}')
        return
    is_image = _is_array(image, 'u') and image.dtype == np.uint8 and image.shape[2:] == (3,)
    if not is_image or 0 in image.shape:
        yield Refusal(f'expected a uint8 image (h, w, 3), got {_named(image)}')
        return
    if depth is None:
        return
    kinds = (
        ('image', image, 'u'),
        ('confidence', view.confidence, 'fiu'),
        ('sky mask', view.sky, 'biu'),
    )
    for name, pixels, kind in kinds:
        if pixels is None:
            continue
        if not _is_array(pixels, kind):
            yield Refusal(f'expected a {name} (h, w), got {_named(pixels)}')
        elif pixels.shape[:2] != depth.shape or (name != 'image' and pixels.ndim != 2):
            yield Refusal(f'depth is {depth.shape}, its {name} {pixels.shape}')


def _of_camera(
    name: str, camera: PinholeCamera, size: ImageSize, is_sideways: bool
) -> Iterator[Refusal]:
    if camera.size != size:
        yield Refusal(
            f'depth is {size.height}x{size.width} pixels, its {name} is of '
            f'{camera.size.height}x{camera.size.width}'
        )
    (fx, skew, cx), (_, fy, cy), _ = camera.K.tolist()
    side = max(size.height, size.width)
    for axis, focal_px in (('x', fx), ('y', fy)):
        if not FOCAL[0] * side <= focal_px <= FOCAL[1] * side:
            what = f'the focal length f{axis} of its {name} in pixels'
            yield _beyond(what, focal_px, FOCAL[0] * side, FOCAL[1] * side)
    for axis, centre_px in (('x', cx), ('y', cy)):
        if abs(centre_px) > FARTHEST_CENTRE * side:
            limit = FARTHEST_CENTRE * side
            yield _beyond(f'the principal point c{axis} of its {name}', centre_px, -limit, limit)
    if abs(skew) > FOCAL[1] * side:
        yield _beyond(f'the skew of its {name}', skew, -FOCAL[1] * side, FOCAL[1] * side)
    if skew != 0 and is_sideways:
        # Such a K has no form in the image that is rotated back.
        yield _beyond(f'the skew of its {name}, whose image is rotated by a quarter,', skew, 0, 0)


def _of_pixel_map(found: PixelMap) -> Iterator[Refusal]:
    low, high = PIXEL_STEP
    for scale in (found.scale_u, found.scale_v):
        if not low <= scale <= high:
            yield _beyond('how much it is resized from the image (pixel_map)', scale, low, high)
    for shift_px in (found.shift_u, found.shift_v):
        if not abs(shift_px) <= FARTHEST_SHIFT_PX:
            what = 'how far it is shifted against the image (pixel_map)'
            yield _beyond(what, shift_px, -FARTHEST_SHIFT_PX, FARTHEST_SHIFT_PX)


def _beyond(what: str, value: float, low: float, high: float) -> Refusal:
    # Of a number that is none, no limit is nearer.
    limit = low if value < low else high
    return Refusal(
        f'expected {what} within {low:.4g} and {high:.4g}, got {value:.4g}',
        {'value': float(value), 'limit': float(limit)},
    )


def _is_depth(pixels: object) -> bool:
    return isinstance(pixels, np.ndarray) and (
        pixels.dtype.kind in 'fiu' and pixels.ndim == 2 and 0 not in pixels.shape
    )


def _is_array(pixels: object, kinds: str) -> bool:
    return isinstance(pixels, np.ndarray) and pixels.dtype.kind in kinds


def _named(pixels: object) -> str:
    if isinstance(pixels, np.ndarray):
        return f'{pixels.dtype} {pixels.shape}'
    return type(pixels).__name__


def _usable_view(
    camera: str, view: ViewPrediction, pose: FloatArray, notes: list[Note]
) -> ViewPrediction:
    """Return a view whose maps are safe to compute with, and add notes on numbers that are none.

    Args:
        camera: its camera.
        view: with images of one size.
        pose: its pose, exactly rigid.
        notes: to add to.
    """
    depth, confidence, sky = view.depth, None, None
    if depth is not None:
        depth, of_depth = _usable_depth(camera, depth)
        confidence, of_confidence = _usable_confidence(camera, view.confidence)
        sky = None if view.sky is None else np.asarray(view.sky, np.bool_)
        notes += [*of_depth, *of_confidence]
    return ViewPrediction(
        depth=depth,
        image=view.image,
        window_from_camera=pose,
        camera=view.camera,
        calibrated_camera=view.calibrated_camera,
        confidence=confidence,
        sky=sky,
        pixel_map=view.pixel_map,
    )


def _usable_depth(camera: str, depth: NDArray[np.generic]) -> tuple[FloatImage, list[Note]]:
    """Return depth as float32 with NaN where there is none, and a note on numbers that none is.

    Zero, negative and infinite depth is another way to say that it is unknown.
    """
    z = _single(depth)
    nearest, farthest = extremes(z)
    if nearest >= SHORTEST and farthest <= LONGEST:
        return z, []
    with np.errstate(invalid='ignore'):  # NaN among them
        known = (z >= SHORTEST) & (z <= LONGEST)
        absurd = (z > 0) & np.isfinite(depth) & ~known
    if not known.all():
        z = np.where(known, z, np.float32(np.nan))
    wanted = f'{SHORTEST:.0e} to {LONGEST:.0e} in the unit of the window'
    return z, _left_out(camera, 'depth', depth, absurd, wanted, 'unknown')


def _usable_confidence(
    camera: str, confidence: NDArray[np.generic] | None
) -> tuple[FloatImage | None, list[Note]]:
    """Return confidence as float32 of at least 1, and a note on what was none."""
    if confidence is None:
        return None, []
    values = _single(confidence)
    if values.min() >= 1 and values.max() < np.inf:
        return values, []
    absurd = ~((values >= 1) & (values < np.inf))
    if absurd.any():
        values = np.where(absurd, np.float32(1), values)
    return values, _left_out(camera, 'confidence', confidence, absurd, '1 or more', '1')


def _single(pixels: NDArray[np.generic]) -> FloatImage:
    """Return pixels as float32; what is beyond it becomes infinite."""
    if pixels.dtype == np.float32:
        return np.asarray(pixels, np.float32)
    with np.errstate(over='ignore'):
        return np.asarray(pixels, np.float32)


def _left_out(
    camera: str, what: str, values: NDArray[np.generic], absurd: Mask, wanted: str, instead: str
) -> list[Note]:
    count = int(absurd.sum())
    if not count:
        return []
    value = float(values[absurd][0])
    text = (
        f'camera {camera}: {count} of {absurd.size} pixels have a {what} as {value:.4g}, expected '
        f'{wanted}: they count as {instead}'
    )
    return [Note('pixels_left_out', text, {'pixels': count, 'of': absurd.size, 'value': value})]
