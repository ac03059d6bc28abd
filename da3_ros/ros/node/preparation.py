"""What happens to an image first: crop and rectification, and the calibration that then holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.options.camera_values import Crop
from da3_ros.ros.conversions import FieldError
from da3_ros.ros.faults import FaultLog
from da3_ros.ros.messages.geometry_messages import camera_from_info, has_distortion
from da3_ros.ros.rectification import Rectifier, make_rectifier, rectified_camera
from da3_ros.types import CameraFrame, ColourImage, ViewId


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is done to every image of one size."""

    calibration: PinholeCamera | None
    """Of the prepared image; None when unknown."""
    rectifier: Rectifier | None
    """None when nothing is to be undone."""


class Preparation:
    """Crops and rectifies the images of one camera.

    Maps and intrinsics are made once for every calibration and image size. A crop keeps the
    optical frame, and so does rectification: only K changes.

    Args:
        camera: its name.
        crop: None for the whole image; counted in the rectified image where that is made.
        rectify: whether to undo distortion.
        faults: takes what hinders.
    """

    def __init__(self, camera: str, crop: Crop | None, rectify: bool, faults: FaultLog) -> None:
        self._camera = camera
        self._crop = crop
        self._rectify = rectify
        self._faults = faults
        self._info: CameraInfo | None = None
        self._plans: dict[ImageSize, _Plan] = {}

    @property
    def info(self) -> CameraInfo | None:
        """The newest calibration, None before the first."""
        return self._info

    def take_info(self, info: CameraInfo) -> bool:
        """Take a calibration and return whether it says anything new."""
        last = self._info
        self._info = info
        if last is not None and _content(last) == _content(info):
            return False
        self._plans.clear()
        return True

    def frame(
        self, view: ViewId, pixels: ColourImage, image_source: str, info_source: str
    ) -> CameraFrame:
        """Return the image that everything else sees, with what is known of it.

        Args:
            view: which image of which camera it is.
            pixels: (H, W, 3), as it came.
            image_source: who sent the image, for error messages.
            info_source: who sent the calibration.

        Raises:
            FieldError: the calibration is for another image size, or its distortion is to be
                undone and cannot be; the crop is not inside the image. Guessed intrinsics must
                not take their place unseen, so the image is not used.
        """
        size = ImageSize(int(pixels.shape[0]), int(pixels.shape[1]))
        crop = self._crop
        if crop is not None and not crop.fits(size):
            raise FieldError(
                image_source,
                'width, height',
                f'the image has {size.width}x{size.height} pixels, but crop_px wants '
                f'{crop.size.width}x{crop.size.height} from ({crop.left_px}, {crop.top_px}) on; '
                'dropped',
            )
        plan = self._plans.get(size)
        if plan is None:
            plan = self._plans[size] = self._plan(size, info_source)
        if plan.rectifier is not None:
            pixels = plan.rectifier.apply(pixels)
        elif crop is not None:
            rows = slice(crop.top_px, crop.top_px + crop.size.height)
            pixels = pixels[rows, crop.left_px : crop.left_px + crop.size.width]
        valid = None if plan.rectifier is None else plan.rectifier.valid
        return CameraFrame(
            view.camera, view.stamp_ns, view.frame_id, pixels, plan.calibration, valid
        )

    def _plan(self, size: ImageSize, source: str) -> _Plan:
        info = self._info
        raw = None if info is None else self._intrinsics(info, size, source)
        if info is None or raw is None:
            if self._rectify:
                self._faults.report(
                    self._camera,
                    'rectify',
                    f'{source}: there is no calibration, so that images go in unrectified',
                )
            return _Plan(None, None)
        if not (self._rectify and has_distortion(info)):
            return _Plan(self._cropped(raw), None)
        target = self._cropped(rectified_camera(info, size, source))
        return _Plan(target, make_rectifier(info, raw, target, source))

    def _cropped(self, camera: PinholeCamera) -> PinholeCamera:
        crop = self._crop
        return camera if crop is None else camera.cropped(crop.left_px, crop.top_px, crop.size)

    def _intrinsics(self, info: CameraInfo, size: ImageSize, source: str) -> PinholeCamera | None:
        """Return the intrinsics for an image size; None when the camera says it has none."""
        try:
            return camera_from_info(info, size, source)
        except FieldError as error:
            if error.field == 'width, height':
                raise
            # Zeros mean "not calibrated" in ROS: the network's own intrinsics are used.
            self._faults.report(
                self._camera,
                f'camera_info.{error.field}',
                f"{error}; the network's own intrinsics are used",
            )
            return None


def _content(info: CameraInfo) -> tuple[object, ...]:
    """Return what describes the camera, comparable also where there are NaN; no stamp."""
    roi = info.roi
    return (
        (info.height, info.width, info.binning_x, info.binning_y, info.distortion_model),
        (roi.x_offset, roi.y_offset, roi.height, roi.width),
        *(np.asarray(field).tobytes() for field in (info.k, info.d, info.r, info.p)),
    )
