"""What tests of datasets ask of notes and of images whose distortion is undone."""

from __future__ import annotations

import numpy as np

from da3_ros.geometry.camera import PinholeCamera
from da3_ros.sources.datasets import Dataset
from da3_ros.types import ColourImage
from helpers.dataset_folders import smooth_image


def said(dataset: Dataset, code: str) -> str:
    """Return the words of all notes of a code."""
    return '; '.join(note.text for note in dataset.notes if note.code == code)


def assert_undone(image: ColourImage, camera: PinholeCamera) -> None:
    """Check a smooth image but for its border, where no pixel lies beyond; 10 levels a pixel."""
    truth = smooth_image(camera.rays()[..., :2])
    np.testing.assert_allclose(image[1:-1, 1:-1].astype(int), truth[1:-1, 1:-1], atol=3)
