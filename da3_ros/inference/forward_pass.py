"""Images through a network, and the cameras that were given with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.inference.given_cameras import GivenCameras, read_cameras
from da3_ros.inference.out_of_memory import MemoryExceededError, sides_to_try
from da3_ros.inference.postprocess import (
    align_to_cameras,
    in_metres,
    pass_cameras_through,
    to_prediction,
    without_invisible,
)
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.preprocess import ImageLike, ProcessedImages, preprocess
from da3_ros.inference.runner import NetworkRunner
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.outputs import NetworkOutput
from da3_ros.notes import Note


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """A forward pass and what went into it."""

    output: NetworkOutput
    processed: ProcessedImages
    given: GivenCameras


def compute(
    network: NetworkRunner,
    image: Sequence[ImageLike] | NDArray[np.uint8],
    cameras: tuple[ArrayLike | None, ArrayLike | None],
    resize: tuple[int, str],
    options: ForwardOptions,
    *,
    allow_smaller: bool,
) -> Computed:
    """Run a network, on smaller images when memory runs out and that is allowed.

    Args:
        network: runs.
        image: images of one scene.
        cameras: extrinsics and intrinsics as `DepthAnything3.inference` takes them.
        resize: length of the bounded side, px, and the method.
        options: of the forward pass.
        allow_smaller: whether smaller chunks and images may be tried.

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
            output: NetworkOutput = network(
                processed.pixels(network.device),
                *given.network_input(network.device),
                options.export_layers,
                options.infer_gs,
                options.use_ray_pose,
                options.ref_view_strategy,
                allow_smaller=allow_smaller,
            )
            break
        except MemoryExceededError as error:
            failure = error.with_traceback(None)
    else:
        raise failure
    if tried != side:
        text = f'memory ran out; images were processed at {tried} instead of {side} px'
        note = Note('images_smaller', text, {'side_px': tried, 'asked_px': side})
        output = replace(output, notes=(note, *output.notes))
    if processed.notes:
        output = replace(output, notes=(*processed.notes, *output.notes))
    return Computed(output, processed, given)


def with_given_cameras(
    network: NetworkRunner, computed: Computed, *, to_input_scale: bool, to_metric: bool
) -> Prediction:
    """Return the prediction with the cameras that were given, in the unit that was asked.

    What the images do not show (transparent pixels) has no depth there.

    Args:
        network: which computed it.
        computed: the forward pass.
        to_input_scale: bring depth to the scale of the given cameras, not these to its scale.
        to_metric: turn the output of a metric network into metres.
    """
    found = _in_their_unit(network, computed, to_input_scale=to_input_scale, to_metric=to_metric)
    return without_invisible(found, computed.processed.visible)


def _in_their_unit(
    network: NetworkRunner, computed: Computed, *, to_input_scale: bool, to_metric: bool
) -> Prediction:
    output, processed, given = computed.output, computed.processed, computed.given
    prediction = replace(to_prediction(output, processed.images), placements=processed.placements)
    if prediction.extrinsics is None:
        prediction = pass_cameras_through(prediction, given)
        return in_metres(prediction, network.model.config) if to_metric else prediction
    if given.extrinsics is None:
        return prediction
    unit = 1.0 if output.gaussian_scale is None else float(output.gaussian_scale[0])
    return align_to_cameras(prediction, given, to_input_scale=to_input_scale, gaussian_scale=unit)
