"""What is asked of images, whatever computes it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.inference.prediction_export import ExportPlan
from da3_ros.inference.preprocess import ImageLike
from da3_ros.inference.window_network import WindowNetwork
from da3_ros.model.forward import DEFAULT_FORWARD, ForwardOptions
from da3_ros.options.choices import DepthSize
from da3_ros.options.export import RESULTS
from da3_ros.options.network import NETWORK, PREDICTION
from da3_ros.options.scenes import INPUT


@dataclass(frozen=True, slots=True, eq=False)
class SequenceViews:
    """What is known of the images of a window beside their pixels."""

    keys: tuple[Hashable, ...]
    """Of each image: equal keys promise the same image in all windows that `networks` see."""

    wanted: tuple[int, ...]
    """Images whose depth is wanted, ascending; the others may have none (NaN)."""

    networks: dict[str, WindowNetwork]
    """What computed windows of the sequence before, by runtime."""

    said: set[str]
    """Notes that are in the log already."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneRequest:
    """What is asked of images of one scene; named as by `DepthAnything3.inference`."""

    image: Sequence[ImageLike] | NDArray[np.uint8]
    extrinsics: ArrayLike | None = None
    intrinsics: ArrayLike | None = None
    forward: ForwardOptions = DEFAULT_FORWARD
    align_to_input_ext_scale: bool = INPUT.align_to_input_ext_scale
    process_res: int | None = None
    process_res_method: str = NETWORK.process_res_method
    to_metric: bool = False
    allow_smaller: bool = PREDICTION.allow_smaller
    depth_size: DepthSize = RESULTS.depth_size
    conf_thr: float | None = PREDICTION.conf_thr
    plan: ExportPlan | None = None
    """Of an export; None writes nothing."""

    views: SequenceViews | None = None
    """Of a window of a sequence; None for a scene, of which nothing is kept."""
