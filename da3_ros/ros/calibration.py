"""What a CameraInfo says of the images beside it: looked at, not believed.

For raw images K and D hold, for rectified ones P, and D is undone already. Placeholders (zeros,
the identity), numbers that no lens has, and sizes that are not those of the images are named, and
what is left takes their place: the other matrix, or the network's own intrinsics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.options.choices import CameraInfoIs
from da3_ros.reasons import Reason
from da3_ros.ros.message_fields import CameraInfoFields

ImageKind = Literal['raw', 'rectified']
MatrixName = Literal['K', 'P']

# Fields of view from 136 down to 3 degrees.
_LEAST_WIDTHS, _MOST_WIDTHS = 0.2, 20.0
_MOST_OUTSIDE = 0.5
_MOST_ASPECT = 4.0
_MOST_SKEW = 0.1
# Where two fields contradict each other, a principal point in the middle half speaks for one.
_MOST_OFF_CENTRE = 0.25
_SHOWN_COEFFICIENTS = 8


@dataclass(frozen=True, slots=True)
class CalibrationProblem:
    """What is wrong with a CameraInfo."""

    reason: Reason
    """CALIBRATION_IMPLAUSIBLE or CALIBRATION_SIZE."""
    text: str
    """Field, what came, and the limit."""
    used: str
    """What is used in its place."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The intrinsics of images, and what they rest on."""

    camera: PinholeCamera | None
    """Of the images as they come; None where the network's own are used."""
    ideal: PinholeCamera | None
    """Of the images once their distortion is undone; None where there is none, or where K, which
    it is relative to, is not known."""
    source: Literal['K', 'P', 'network']
    """Where `camera` comes from."""
    distortion: str
    """The lens distortion that is left in the images: model and coefficients; empty for none."""
    problem: CalibrationProblem | None
    """None where all is well."""


def kind_of_images(choice: CameraInfoIs, topic: str) -> ImageKind:
    """Return what images are.

    Args:
        choice: the parameter camera_info_is.
        topic: of the images, resolved and remapped. image_proc names rectified ones image_rect,
            image_rect_color; compressed ones have a part behind that.
    """
    if choice != 'auto':
        return choice
    name = topic.removesuffix('/compressed').rpartition('/')[2]
    return 'rectified' if name.startswith('image_rect') else 'raw'


def has_distortion(info: CameraInfoFields) -> bool:
    """Return whether a CameraInfo says that straight lines are not straight in the raw image."""
    return any(coefficient != 0 for coefficient in info.d)


def judge_calibration(info: CameraInfoFields, size: ImageSize, kind: ImageKind) -> Calibration:
    """Return the intrinsics that a CameraInfo gives for images of a size.

    K and P are for the full image at calibration; region of interest, then binning, lead to the
    size of the image that is sent.

    Args:
        info: sensor_msgs/CameraInfo, whoever made it; any values.
        size: of the images.
        kind: what the images are.

    Source: definition of sensor_msgs/CameraInfo; image_geometry.
    """
    distortion = _shown_distortion(info) if kind == 'raw' and has_distortion(info) else ''
    height, width = int(info.height), int(info.width)
    sampling = None if min(height, width) < 1 else _Sampling.of(info, size)
    if sampling is None:
        return Calibration(None, None, 'network', distortion, _other_size(info, size))
    doubts = [sampling.contradiction] if sampling.contradiction else []
    for name in _order(info, kind):
        matrix = _matrix(info, name)
        doubt = implausibility(matrix, sampling.full, must_be_centred=bool(sampling.contradiction))
        if doubt:
            doubts.append(f'field {name.lower()}: {doubt}')
            continue
        camera = sampling.sent(matrix)
        ideal = _ideal(info, sampling, camera) if distortion and name == 'K' else None
        return Calibration(
            camera, ideal, name, distortion, _implausible(doubts, f'{name} is used')
        )
    problem = _implausible(doubts, "the network's own intrinsics are used")
    return Calibration(None, None, 'network', distortion, problem)


def implausibility(matrix: FloatArray, size: ImageSize, *, must_be_centred: bool = False) -> str:
    """Return what no camera with images of `size` has in its matrix (3, 3); empty for nothing.

    Args:
        matrix: K, or the left part of P.
        size: the image that it is for.
        must_be_centred: whether the principal point has to be in the middle half of the image.
    """
    if not np.isfinite(matrix).all():
        return 'it is not finite'
    (fx, skew, cx), (below, fy, cy), last = matrix.tolist()
    if fx == 0 or fy == 0:
        return 'focal length 0: the camera is not calibrated'
    if below != 0 or last != [0.0, 0.0, 1.0]:
        return f'expected [fx s cx; 0 fy cy; 0 0 1], got {_numbers(matrix.ravel())}'
    if not _LEAST_WIDTHS <= fx / size.width <= _MOST_WIDTHS:
        is_identity = ' (it is the identity)' if np.array_equal(matrix, np.eye(3)) else ''
        return (
            f'focal length fx {fx:g} px{is_identity} is {fx / size.width:.3g} image widths '
            f'({_LEAST_WIDTHS:g} to {_MOST_WIDTHS:g} are plausible)'
        )
    if not 1 / _MOST_ASPECT <= fy / fx <= _MOST_ASPECT:
        return f'fy/fx is {fy / fx:.3g} ({1 / _MOST_ASPECT:g} to {_MOST_ASPECT:g} are plausible)'
    if abs(skew) > _MOST_SKEW * fx:
        return f'skew {skew:g} px is more than {_MOST_SKEW:g} fx ({fx:g} px)'
    return _bad_centre(cx, cy, size, _MOST_OFF_CENTRE if must_be_centred else None)


def _bad_centre(cx: float, cy: float, size: ImageSize, most_off: float | None) -> str:
    if cx == 0 == cy and size != ImageSize(1, 1):
        return 'principal point (0, 0): it is not set'
    # In image sides from the centre.
    off = max(abs((cx + 0.5) / size.width - 0.5), abs((cy + 0.5) / size.height - 0.5))
    limit = 0.5 + _MOST_OUTSIDE if most_off is None else most_off
    if off <= limit:
        return ''
    return (
        f'principal point ({cx:g}, {cy:g}) is {off:.3g} image sides from the centre of '
        f'{size.width}x{size.height} pixels (plausible: up to {limit:g})'
    )


@dataclass(frozen=True, slots=True)
class _Sampling:
    """What leads from the image at calibration to the one that is sent."""

    full: ImageSize
    """The image that K is for."""
    left_px: int
    top_px: int
    region: ImageSize
    size: ImageSize
    """Of the image that is sent."""
    contradiction: str = ''
    """Why region and binning are left out; empty where they are not."""

    @staticmethod
    def of(info: CameraInfoFields, size: ImageSize) -> _Sampling | None:
        """Return what leads to images of a size; None where nothing does."""
        full = ImageSize(int(info.height), int(info.width))
        roi = info.roi
        left, top, region = 0, 0, full
        if roi.width and roi.height:
            left, top = int(roi.x_offset), int(roi.y_offset)
            region = ImageSize(int(roi.height), int(roi.width))
        # Both 0 and 1 mean that there is no binning.
        across, down = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
        is_inside = left + region.width <= full.width and top + region.height <= full.height
        if (
            is_inside
            and size.width in _binned(region.width, across)
            and size.height in _binned(region.height, down)
        ):
            return _Sampling(full, left, top, region, size)
        if size != full:
            return None
        return _Sampling(
            full,
            0,
            0,
            full,
            size,
            f'fields roi, binning_x, binning_y: region {region.width}x{region.height} from '
            f'({left}, {top}) and binning {across}x{down} are for another size than the '
            f'{size.width}x{size.height} pixels that the image has and that width and height '
            'say, so that they are taken as applied already',
        )

    def sent(self, matrix: FloatArray) -> PinholeCamera:
        """Return the camera of the image that is sent."""
        camera = PinholeCamera(matrix, self.full)
        camera = camera.cropped(self.left_px, self.top_px, self.region)
        return camera if self.region == self.size else camera.resized(self.size)


def _binned(side: int, binning: int) -> tuple[int, int]:
    """Return the lengths that a side may have after binning: some drivers keep a last part."""
    return max(side // binning, 1), -(-side // binning)


def _order(info: CameraInfoFields, kind: ImageKind) -> tuple[MatrixName, ...]:
    """Return which matrices may hold, the right one first."""
    if kind == 'raw':
        return ('K', 'P')
    # Of an ideal camera that is not rotated K and P are the same.
    return ('P',) if has_distortion(info) or _is_rotated(info) else ('P', 'K')


def _matrix(info: CameraInfoFields, name: MatrixName) -> FloatArray:
    if name == 'K':
        return np.array(info.k, dtype=np.float64).reshape(3, 3)
    return np.array(info.p, dtype=np.float64).reshape(3, 4)[:, :3]


def _is_rotated(info: CameraInfoFields) -> bool:
    rotation = np.asarray(info.r, dtype=np.float64).reshape(3, 3)
    return bool(rotation.any()) and not np.allclose(rotation, np.eye(3), atol=1e-9)


def _ideal(info: CameraInfoFields, sampling: _Sampling, camera: PinholeCamera) -> PinholeCamera:
    """Return the camera that the rectified image shall have.

    It is that of P, as in image_proc, for a camera that R does not rotate. With R (stereo) P
    belongs to another frame than the image's frame id, so K is kept, as it is where P is not set.
    """
    matrix = _matrix(info, 'P')
    if _is_rotated(info) or implausibility(matrix, sampling.full):
        return camera
    return sampling.sent(matrix)


def _implausible(doubts: list[str], used: str) -> CalibrationProblem | None:
    if not doubts:
        return None
    return CalibrationProblem(Reason.CALIBRATION_IMPLAUSIBLE, '; '.join(doubts), used)


def _other_size(info: CameraInfoFields, size: ImageSize) -> CalibrationProblem:
    return CalibrationProblem(
        Reason.CALIBRATION_SIZE,
        f'fields width, height: it is for {info.width}x{info.height} pixels '
        f'({_region_text(info)}), but the image has {size.width}x{size.height}',
        "the network's own intrinsics are used",
    )


def _region_text(info: CameraInfoFields) -> str:
    roi = info.roi
    region = f'region {roi.width}x{roi.height}' if roi.width and roi.height else 'no region'
    across, down = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
    return f'{region}, binning {across}x{down}'


def _shown_distortion(info: CameraInfoFields) -> str:
    return f'{str(info.distortion_model)[:40]!r} {_numbers(np.array(info.d))}'


def _numbers(values: FloatArray) -> str:
    shown = ', '.join(f'{value:g}' for value in values[: _SHOWN_COEFFICIENTS + 1])
    return f'[{shown}{", ..." if len(values) > _SHOWN_COEFFICIENTS + 1 else ""}]'
