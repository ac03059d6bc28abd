"""Images through a network, and the cameras that were given with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.inference.given_cameras import GivenCameras, read_cameras
from da3_ros.inference.out_of_memory import MemoryExceededError, sides_to_try
from da3_ros.inference.postprocess import (
    align_to_cameras,
    in_metres,
    pass_cameras_through,
    without_invisible,
)
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.preprocess import ImageLike, ProcessedImages, preprocess
from da3_ros.model.config import NetworkConfig
from da3_ros.notes import Note


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a network says about images of one scene."""

    prediction: Prediction
    """In the network's own world; of the processed images."""

    gaussian_unit: float = 1.0
    """Length of a unit of depth among the Gaussians."""


ForwardPass: TypeAlias = Callable[[ProcessedImages, GivenCameras], Answer]
"""Computes images with what is known of their cameras; whatever the runtime is."""


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """A forward pass and what went into it."""

    answer: Answer
    processed: ProcessedImages
    given: GivenCameras


def compute(
    forward: ForwardPass,
    image: Sequence[ImageLike] | NDArray[np.uint8],
    cameras: tuple[ArrayLike | None, ArrayLike | None],
    resize: tuple[int, str],
    *,
    allow_smaller: bool,
) -> Computed:
    """Run a network, on smaller images when memory runs out and that is allowed.

    Args:
        forward: computes images.
        image: images of one scene.
        cameras: extrinsics and intrinsics as `DepthAnything3.inference` takes them.
        resize: length of the bounded side, px, and the method.
        allow_smaller: whether smaller images may be tried.

    Raises:
        PreprocessError: images or cameras cannot be used.
        ModelError: the network cannot do what the options ask.
        MemoryExceededError: memory ran out.
    """
    side, method = resize
    for tried in sides_to_try(side, allow_smaller=allow_smaller):
        processed = preprocess(image, tried, method)
        given = read_cameras(processed, *cameras)
        try:
            answer = forward(processed, given)
            break
        except MemoryExceededError as error:
            failure = error.with_traceback(None)
    else:
        raise failure
    notes = list(processed.notes)
    if tried != side:
        text = f'memory ran out; images were processed at {tried} instead of {side} px'
        notes.append(Note('images_smaller', text, {'side_px': tried, 'asked_px': side}))
    prediction = answer.prediction
    prediction = replace(
        prediction,
        placements=processed.placements,
        notes=(*(note.text for note in notes), *prediction.notes),
    )
    return Computed(replace(answer, prediction=prediction), processed, given)


def with_given_cameras(
    config: NetworkConfig, computed: Computed, *, to_input_scale: bool, to_metric: bool
) -> Prediction:
    """Return the prediction with the cameras that were given, in the unit that was asked.

    What the images do not show (transparent pixels) has no depth there.

    Args:
        config: of the network which computed it.
        computed: the forward pass.
        to_input_scale: bring depth to the scale of the given cameras, not these to its scale.
        to_metric: turn the output of a metric network into metres.
    """
    found = _in_their_unit(config, computed, to_input_scale=to_input_scale, to_metric=to_metric)
    return without_invisible(found, computed.processed.visible)


def _in_their_unit(
    config: NetworkConfig, computed: Computed, *, to_input_scale: bool, to_metric: bool
) -> Prediction:
    prediction, given = computed.answer.prediction, computed.given
    if prediction.extrinsics is None:
        prediction = pass_cameras_through(prediction, given)
        return in_metres(prediction, config) if to_metric else prediction
    if given.extrinsics is None:
        return prediction
    return align_to_cameras(
        prediction,
        given,
        to_input_scale=to_input_scale,
        gaussian_scale=computed.answer.gaussian_unit,
    )
