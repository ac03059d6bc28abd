"""Arguments of official examples that this API has under other names, or does otherwise."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
import logging

import numpy as np

from da3_ros.errors import PreprocessError
from da3_ros.inference.prediction import Prediction
from da3_ros.options.choices import AttentionKind

_logger = logging.getLogger(__name__)


def attention_kernel(attention: AttentionKind, use_xformers: bool | None) -> AttentionKind:
    """Return the kernel that `attention`, or else the official `use_xformers`, asks for.

    Where xformers is asked for and not installed, a warning says so and torch's own is taken:
    both give the same to rounding.
    """
    if use_xformers is None or attention != 'auto':
        return attention
    if not use_xformers:
        return 'sdpa'
    if find_spec('xformers') is None:
        _logger.warning(
            "use_xformers=True: xformers is not installed, torch's attention (sdpa) is used"
        )
        return 'sdpa'
    _logger.warning("use_xformers=True is attention='xformers'")
    return 'xformers'


def least_confidence(conf_thr: float | None) -> float | None:
    """Return a threshold, after a look whether it is a number.

    Raises:
        PreprocessError: it is none.
    """
    if conf_thr is not None and not np.isfinite(np.float64(conf_thr)):
        raise PreprocessError(f'conf_thr: expected a number or None, got {conf_thr!r}')
    return conf_thr


def with_least_confidence(prediction: Prediction, least: float | None) -> Prediction:
    """Return a prediction whose confidence is NaN below a threshold: no file has points there."""
    if least is None:
        return prediction
    if prediction.conf is None:
        note = 'conf_thr had no effect: this network gives no confidence'
        return replace(prediction, notes=(*prediction.notes, note))
    conf = np.where(prediction.conf < least, np.float32(np.nan), prediction.conf)
    share = float(np.isnan(conf).mean())
    note = (
        f'conf_thr: {share:.1%} of the pixels have a confidence below {least:g} and give no '
        'points (confidence begins at 1)'
    )
    return replace(prediction, conf=conf, notes=(*prediction.notes, note))
