"""Reading of the stored reference outputs and comparison with them."""

from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

GOLDEN_DIR = Path(__file__).resolve().parents[2] / 'test' / 'data' / 'golden'
IMAGE_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGE_STD = np.array([0.229, 0.224, 0.225], np.float32)

NOISE_FACTOR = 10.0
"""Strict tests allow this multiple of what other kernels and float64 change in the reference."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Golden:
    """One case: arrays by name, and its description."""

    name: str
    arrays: dict[str, Array]
    meta: dict[str, Any]

    def __getitem__(self, key: str) -> Array:
        return self.arrays[key]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def pixels(self, batch: int | None = None) -> Tensor:
        """Return the normalised network input (B, V, 3, H, W); B as given or as recorded."""
        images = (self['images_u8'].astype(np.float32) / 255 - IMAGE_MEAN) / IMAGE_STD
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        batch = int(self.meta['B']) if batch is None else batch
        return pixels.reshape(batch, -1, *pixels.shape[1:])

    def stride(self, field: str) -> int:
        """Return the step at which rows and columns of a field were stored."""
        if field in self.meta.get('stride2_fields', ()):
            return 2
        for prefix in (field, field.removesuffix('_conf')):
            if f'{prefix}_stride' in self.meta:
                return int(self.meta[f'{prefix}_stride'])
        return int(self.meta.get(f'{field}_stride', 1))

    def spread_over_seeds(self, field: str) -> float:
        """Return by how much the reference's ray poses differ between random seeds."""
        return float(self.meta.get('raypose_spread_over_8_other_seeds', {}).get(field, 0.0))

    def noise(self, field: str, measure: str = 'maxrel') -> float:
        """Return what numerically equal computations change in a field of the reference."""
        noise: dict[str, dict[str, dict[str, float]]] = self.meta.get('noise', {})
        return max((kind[field][measure] for kind in noise.values() if field in kind), default=0.0)


def load_golden(name: str, folder: Path = GOLDEN_DIR) -> Golden:
    """Load a case by its file name without suffix."""
    with np.load(folder / f'{name}.npz', allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files if key != 'meta'}
        meta = json.loads(str(stored['meta'])) if 'meta' in stored.files else {}
    return Golden(name, arrays, meta)


def read_manifest(preset: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of an upstream checkpoint's tensors."""
    lines = (GOLDEN_DIR / 'manifest' / f'{preset}.txt').read_text().splitlines()
    entries = (line.split(' ') for line in lines if not line.startswith('#'))
    return {name: tuple(int(side) for side in shape.split('x')) for name, shape in entries}


def max_relative_error(actual: Array, expected: Array) -> float:
    """Return the largest error relative to each expected value (positive quantities)."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    scale = np.maximum(np.abs(expected), 1e-3 * np.abs(expected).max())
    return float((np.abs(actual - expected) / scale).max())


def max_error_to_peak(actual: Array, expected: Array) -> float:
    """Return the largest error relative to the largest expected value (signed quantities)."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def max_rotation_error_rad(actual: Array, expected: Array) -> float:
    """Return the largest angle between rotations (..., 3, 3)."""
    difference = np.asarray(actual, np.float64) - np.asarray(expected, np.float64)
    chord = np.linalg.norm(difference, axis=(-2, -1)) / np.sqrt(2)
    return float(2 * np.arcsin(np.minimum(chord / 2, 1)).max())
