"""Depth of measured pictures as networks would give it: right, a little wrong, or made up."""

from __future__ import annotations

from typing import Literal
import warnings

import cv2
import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.types import FloatImage

Shape = Literal['measured', 'smooth', 'constant', 'rows']
"""measured: as it is; smooth: off by a tenth that changes slowly over the image; constant: one
depth for all; rows: the median of every row, which is what a network knows that has learned how
rooms look and not looked."""

SMOOTH = 0.1


def smooth_noise(size_hw: tuple[int, int], sigma: float, rng: np.random.Generator) -> FloatImage:
    """Return factors (H, W) whose logarithms are drawn for 4 x 5 places and smooth between."""
    drawn = rng.standard_normal((4, 5)).astype(np.float32)
    waves = cv2.resize(drawn, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.exp(sigma * waves), np.float32)


def shaped(depth: FloatArray | FloatImage, shape: Shape, rng: np.random.Generator) -> FloatImage:
    """Return depth (N, H, W) of another shape, in the same unit and known at the same pixels.

    Args:
        depth: (N, H, W) of a window's views; NaN unknown.
        shape: what it becomes.
        rng: for `smooth`.
    """
    known = np.asarray(depth, np.float32)
    if shape == 'measured':
        return known
    if shape == 'smooth':
        size_hw = (known.shape[1], known.shape[2])
        return known * np.stack([smooth_noise(size_hw, SMOOTH, rng) for _ in known])
    if shape == 'constant':
        profile = np.full((1, known.shape[1], 1), np.nanmedian(known), np.float32)
    else:
        profile = _median_by_row(known)
    return np.asarray(np.where(np.isfinite(known), profile, np.nan), np.float32)


def _median_by_row(depth: FloatImage) -> FloatImage:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # rows in which nothing is known
        rows = np.nanmedian(depth, axis=(0, 2))
    return np.asarray(rows, np.float32)[None, :, None]
