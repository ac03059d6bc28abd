"""What is shown of a view: depth within its limits, at the size of the network or of the input."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.export.depth_colours import coloured_depth
from da3_ros.geometry.arrays import extremes
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.edges import flying_pixels
from da3_ros.geometry.resample import DepthResampler
from da3_ros.options import OutputOptions
from da3_ros.types import ColourImage, FloatImage, Mask, PosedView

_MM_PER_M = np.float32(1000.0)
_UINT16_MAX = 65535


def published_depth(view: PosedView, options: OutputOptions) -> FloatImage:
    """Return the depth (H, W) as it goes out, world units.

    NaN where unknown, in the sky, nearer than `min_depth_m` and below `min_confidence`; +Inf
    beyond `max_depth_m` (REP 117). The view's own depth where nothing of it is beyond a limit: not
    to be written to.
    """
    depth = np.asarray(view.depth, np.float32)
    nearest, farthest = extremes(depth)
    is_near = not (nearest > 0 and nearest >= options.min_depth_m)
    is_far = farthest > options.max_depth_m
    unknown: list[Mask] = []
    if is_near:
        # Zero, and what is less, also where nothing is too near.
        unknown.append(~((depth > 0) & (depth >= options.min_depth_m)))
    if view.confidence is not None and options.min_confidence > 1:
        unknown.append(~(view.confidence >= options.min_confidence))
    if view.sky is not None and view.sky.any():
        unknown.append(view.sky)
    if not (is_far or unknown):
        return depth
    limited: FloatImage = depth.copy()
    if is_far:
        np.copyto(limited, np.float32(np.inf), where=depth > options.max_depth_m)
    for mask in unknown:
        np.copyto(limited, np.float32(np.nan), where=mask)
    return limited


def points_depth(view: PosedView, depth: FloatImage, options: OutputOptions) -> FloatImage:
    """Return the depth (H, W) that becomes points: NaN also where pixels fly behind an edge.

    Args:
        view: its own depth says where edges are, also where none is published.
        depth: as it is published.
        options: `edge_filter`.
    """
    if options.edge_filter == 0:
        return depth
    flying = flying_pixels(view.depth, options.edge_filter)
    return np.where(flying, np.float32(np.nan), depth) if flying.any() else depth


def depth_in_mm(depth: FloatImage) -> NDArray[np.uint16]:
    """Return depth (H, W) in whole millimetres, 0 where it is unknown or not representable."""
    mm: FloatImage = np.multiply(depth, _MM_PER_M, dtype=np.float32)
    np.rint(mm, out=mm)
    # Neither of NaN nor of +Inf.
    np.copyto(mm, np.float32(0), where=~(mm <= _UINT16_MAX))
    return mm.astype(np.uint16)


def rgb_bits(colours: ColourImage) -> NDArray[np.float32]:
    """Return colours (H, W, 3) as floats (H, W) whose bits are 0x00RRGGBB."""
    bgra = cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_RGB2BGRA)
    bits = np.asarray(bgra).view(np.uint32)[..., 0]
    bits &= 0x00FFFFFF
    return bits.view(np.float32)


class ShownView:
    """A view with what several outputs make of its depth, each made once and when it is wanted.

    Args:
        view: one size of depth, colour and camera.
        options: limits of depth, the edge filter.
    """

    def __init__(self, view: PosedView, options: OutputOptions) -> None:
        self.view = view
        self.options = options

    @cached_property
    def depth(self) -> FloatImage:
        """See `published_depth`."""
        return published_depth(self.view, self.options)

    @cached_property
    def points_depth(self) -> FloatImage:
        """See `points_depth`."""
        return points_depth(self.view, self.depth, self.options)

    @cached_property
    def bits(self) -> FloatImage:
        """Colours as clouds have them, see `rgb_bits`."""
        return rgb_bits(self.view.image)


def input_camera(view: PosedView) -> PinholeCamera:
    """Return the intrinsics of the image that a view was made from.

    They are the camera's own where it has some, else the network's, carried over.
    """
    place = view.input
    if place is None:
        return view.camera
    if view.is_calibrated and place.calibration is not None:
        return place.calibration
    return place.pixel_map.camera(view.camera, place.size)


def at_input_size(view: PosedView, image: ColourImage) -> PosedView:
    """Return a view with depth, confidence, sky, colour and K at the size of its input image.

    Depth is interpolated inside surfaces only (`geometry.resample`); the colour is the input image
    itself. Depth is unknown where the network did not see the image, at most at its margins.

    Args:
        view: as the network sees it.
        image: (H, W, 3) that it was made from.
    """
    place = view.input
    if place is None:
        return view
    depth = view.depth if view.sky is None else np.where(view.sky, np.float32(np.nan), view.depth)
    resampler = DepthResampler(depth, place.pixel_map, place.size)
    confidence = view.confidence
    return replace(
        view,
        depth=resampler.depth(),
        image=image,
        camera=input_camera(view),
        confidence=None if confidence is None else resampler.along(confidence),
        sky=None if view.sky is None else resampler.mask(view.sky),
    )


def at_published_size(shown: ShownView, image: ColourImage, *, needs_maps: bool) -> ShownView:
    """Return a view at the size that `depth_size` asks for.

    Args:
        shown: as the network sees it.
        image: (H, W, 3) the input image that it was made from.
        needs_maps: whether more than colour and intrinsics is wanted, which takes longer.
    """
    view, options = shown.view, shown.options
    if options.depth_size != 'input':
        return shown
    if needs_maps:
        view = at_input_size(view, image)
    else:
        view = replace(view, image=image, camera=input_camera(view))
    return ShownView(view, options)


ImageTopic = Literal[
    'depth/image', 'depth/debug', 'color/image', 'depth/confidence', 'depth/sky_mask'
]
"""Images of one view, by the name behind the camera's."""


def image_of(shown: ShownView, topic: ImageTopic) -> tuple[NDArray[Any], str] | None:
    """Return the pixels of an image and their encoding; None where the network gives none.

    Args:
        shown: the view at its published size.
        topic: which image.
    """
    view = shown.view
    if topic == 'depth/image':
        encoding = shown.options.depth_encoding
        return (depth_in_mm(shown.depth) if encoding == '16UC1' else shown.depth), encoding
    if topic == 'depth/debug':
        return coloured_depth(shown.depth), 'rgb8'
    if topic == 'color/image':
        return view.image, 'rgb8'
    if topic == 'depth/confidence':
        if view.confidence is None:
            return None
        return view.confidence.astype(np.float32, copy=False), '32FC1'
    if view.sky is None:
        return None
    return view.sky.astype(np.uint8) * np.uint8(255), 'mono8'
