"""What happens to an image first: crop and rectification, and the calibration that then holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.options.camera_values import Crop
from da3_ros.reasons import Reason
from da3_ros.ros.calibration import Calibration, ImageKind, judge_calibration
from da3_ros.ros.field_error import FieldError
from da3_ros.ros.message_fields import CameraInfoFields
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.rectification import Rectifier, make_rectifier
from da3_ros.types import CameraFrame, ColourImage, ViewId


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is done to every image of one size."""

    calibration: PinholeCamera | None
    """Of the prepared image; None when unknown."""
    rectifier: Rectifier | None
    """None when nothing is to be undone."""
    judged: Calibration | None
    """What the CameraInfo was found to say; None without one."""


class Preparation:
    """Crops and rectifies the images of one camera.

    Maps and intrinsics are made once for every calibration and image size; `say` says what is
    wrong with them. A crop keeps the optical frame, and so does rectification: only K changes.

    Args:
        camera: its name.
        crop: None for the whole image; counted in the rectified image where that is made.
        rectify: whether to undo distortion.
        kind: what the images are.
        reasons: takes what is wrong with a calibration, and what is left undone.
    """

    def __init__(
        self, camera: str, crop: Crop | None, rectify: bool, kind: ImageKind, reasons: ReasonBoard
    ) -> None:
        self._camera = camera
        self._crop = crop
        self._rectify = rectify
        self._kind: ImageKind = kind
        self._reasons = reasons
        self._info: CameraInfoFields | None = None
        self._plans: dict[ImageSize, _Plan] = {}
        self._in_use: _Plan | None = None
        self._said: _Plan | None = None

    @property
    def info(self) -> CameraInfoFields | None:
        """The newest calibration, None before the first."""
        return self._info

    @property
    def has_other_size(self) -> bool:
        """Whether the newest calibration was for another size than the newest image."""
        judged = None if self._in_use is None else self._in_use.judged
        problem = None if judged is None else judged.problem
        return problem is not None and problem.reason is Reason.CALIBRATION_SIZE

    def take_info(self, info: CameraInfoFields) -> None:
        """Take a calibration; nothing is made anew where it says nothing new."""
        last = self._info
        self._info = info
        if last is None or _content(last) != _content(info):
            self._plans.clear()

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
            FieldError: the distortion is to be undone and cannot be; the crop is not inside the
                image.
        """
        size = ImageSize(int(pixels.shape[0]), int(pixels.shape[1]))
        plan = self._used(size, image_source, info_source)
        return _frame(view, plan, self._prepared(plan, pixels))

    def frame_of_undecoded(
        self,
        view: ViewId,
        size: ImageSize,
        decode: Callable[[], ColourImage | None],
        image_source: str,
        info_source: str,
    ) -> CameraFrame:
        """Return the same of an image that is decoded later, if ever.

        Args:
            view: as for `frame`.
            size: of the image.
            decode: gives its pixels, None when it cannot; called from another thread.
            image_source: as for `frame`.
            info_source: as for `frame`.

        Raises:
            FieldError: see `frame`.
        """
        plan = self._used(size, image_source, info_source)

        def prepared() -> ColourImage | None:
            pixels = decode()
            return None if pixels is None else self._prepared(plan, pixels)

        # No memory is taken for what is not there yet: all pixels are one.
        shown = size if self._crop is None else self._crop.size
        if plan.rectifier is not None:
            shown = plan.rectifier.camera.size
        nothing = np.broadcast_to(np.uint8(0), (shown.height, shown.width, 3))
        return replace(_frame(view, plan, nothing), pending=prepared)

    def _used(self, size: ImageSize, image_source: str, info_source: str) -> _Plan:
        """Return what is done to images of a size from now on."""
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
        self._in_use = plan
        return plan

    def _prepared(self, plan: _Plan, pixels: ColourImage) -> ColourImage:
        if plan.rectifier is not None:
            return plan.rectifier.apply(pixels)
        if self._crop is None:
            return pixels
        crop = self._crop
        rows = slice(crop.top_px, crop.top_px + crop.size.height)
        return pixels[rows, crop.left_px : crop.left_px + crop.size.width]

    def _plan(self, size: ImageSize, source: str) -> _Plan:
        info = self._info
        if info is None:
            return _Plan(None, None, None)
        judged = judge_calibration(info, size, self._kind)
        raw, ideal = judged.camera, judged.ideal
        if raw is None or ideal is None or not self._rectify:
            return _Plan(None if raw is None else self._cropped(raw), None, judged)
        target = self._cropped(ideal)
        return _Plan(target, make_rectifier(info, raw, target, source), judged)

    def say(self, source: str) -> None:
        """Say what is wrong with the calibration of the newest image, once.

        Args:
            source: who sent the calibration.
        """
        plan = self._in_use
        if plan is None or plan is self._said:
            return
        self._said = plan
        judged = plan.judged
        problem = None if judged is None else judged.problem
        for reason in (Reason.CALIBRATION_IMPLAUSIBLE, Reason.CALIBRATION_SIZE):
            if problem is not None and problem.reason is reason:
                self._hold(reason, source=source, problem=problem.text, used=problem.used)
            else:
                # Not what is said of calibrations that could not be read.
                self._reasons.end(reason, self._camera, '')
        if judged is not None and judged.distortion and plan.rectifier is None:
            advice = 'Set rectify' if not self._rectify else 'rectify needs a K that is plausible'
            self._hold(
                Reason.DISTORTION_LEFT,
                source=source,
                distortion=judged.distortion,
                advice=advice,
            )
        else:
            self._reasons.end(Reason.DISTORTION_LEFT, self._camera)

    def _hold(self, reason: Reason, **values: str) -> None:
        self._reasons.hold(reason, self._camera, **values)

    def _cropped(self, camera: PinholeCamera) -> PinholeCamera:
        crop = self._crop
        return camera if crop is None else camera.cropped(crop.left_px, crop.top_px, crop.size)


def _frame(view: ViewId, plan: _Plan, pixels: ColourImage) -> CameraFrame:
    valid = None if plan.rectifier is None else plan.rectifier.valid
    return CameraFrame(view.camera, view.stamp_ns, view.frame_id, pixels, plan.calibration, valid)


def _content(info: CameraInfoFields) -> tuple[object, ...]:
    """Return what describes the camera, comparable also where there are NaN; no stamp."""
    roi = info.roi
    return (
        (info.height, info.width, info.binning_x, info.binning_y, info.distortion_model),
        (roi.x_offset, roi.y_offset, roi.height, roi.width),
        *(np.asarray(field).tobytes() for field in (info.k, info.d, info.r, info.p)),
    )
