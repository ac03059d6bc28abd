"""Views at the size of the camera's image, for consumers that need depth and colour to match."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from da3_ros.assembly import own_process_res
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import DepthResampler, PixelMap
from da3_ros.options import EstimatorOptions
from da3_ros.types import PosedView

PATCH_PX = 14
"""Sides of the network's image are multiples of this."""


def input_place(view: PosedView, options: EstimatorOptions) -> tuple[PixelMap, PinholeCamera]:
    """Return where the pixels of a view's input image lie in the view, and that image's camera.

    K is the camera's own where it has one, else the network's, carried over.
    """
    size = view.frame.size
    calibration = view.frame.calibration
    if view.is_calibrated and calibration is not None:
        return PixelMap.between(calibration, view.camera), calibration
    place = uncalibrated_place(size, view.camera.size, options)
    return place, place.camera(view.camera, size)


def resampled(view: PosedView, place: PixelMap, camera: PinholeCamera) -> PosedView:
    """Return a view with depth, confidence, sky, colour and K at the size of its input image.

    Depth is interpolated inside surfaces only (`geometry.resample`); the colour is the input image
    itself. Depth is unknown where the network did not see the image, at most at its margins.

    Args:
        view: as the network sees it.
        place: where the pixels of the input image lie in it.
        camera: of the input image.
    """
    depth = view.depth if view.sky is None else np.where(view.sky, np.float32(np.nan), view.depth)
    resampler = DepthResampler(depth, place, camera.size)
    confidence = view.confidence
    return replace(
        view,
        depth=resampler.depth(),
        image=view.frame.image,
        camera=camera,
        confidence=None if confidence is None else resampler.along(confidence),
        sky=None if view.sky is None else resampler.mask(view.sky),
    )


def uncalibrated_place(
    frame: ImageSize, network: ImageSize, options: EstimatorOptions
) -> PixelMap:
    """Return where the pixels of an image lie in the network's, for a camera without intrinsics.

    The network's image is the whole one resized, or its middle part: where the method crops to
    whole patches, and where views of one window have different shapes. An answer of a size that
    the method does not lead to is taken to show the whole image.
    """
    resized = _resized(frame, options)
    across, down = resized.width - network.width, resized.height - network.height
    is_part = min(across, down) >= 0 and not (
        network.width % PATCH_PX or network.height % PATCH_PX
    )
    same_shape = network.width * frame.height == network.height * frame.width
    if not is_part or (same_shape and not options.process_res_method.endswith('_crop')):
        resized, across, down = network, 0, 0
    return PixelMap.placed(
        resized.width / frame.width, resized.height / frame.height, across // 2, down // 2
    )


def _resized(frame: ImageSize, options: EstimatorOptions) -> ImageSize:
    """Return the size that an image has for the network before anything is cut away."""
    bound = max if options.process_res_method.startswith('upper') else min
    side = options.process_res or own_process_res(options.model)
    scale = side / bound(frame.height, frame.width)
    height, width = (max(round(side * scale), 1) for side in (frame.height, frame.width))
    if options.process_res_method.endswith('_resize'):
        height, width = (
            max((side + PATCH_PX // 2) // PATCH_PX, 1) * PATCH_PX for side in (height, width)
        )
    return ImageSize(height, width)
