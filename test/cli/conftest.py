"""A checkpoint on disk that is small enough for every test, and photographs for it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from da3_ros.inference.checkpoint import save_checkpoint
from da3_ros.inference.random_weights import random_network
from helpers.tiny import ANY_VIEW, SINGLE_VIEW


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Any-view network with Gaussians and random weights, as a trained one would be saved."""
    folder = tmp_path_factory.mktemp('checkpoint')
    save_checkpoint(random_network(ANY_VIEW, 0), folder)
    return folder


@pytest.fixture(scope='session')
def single_view_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Network that sees each image alone, without confidence."""
    folder = tmp_path_factory.mktemp('single_view')
    save_checkpoint(random_network(SINGLE_VIEW, 0), folder)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Folder with three images of 64x48."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for index in range(3):
        write_photo(folder / f'{index}.png', index)
    return folder


def write_photo(path: Path, seed: int, size: tuple[int, int] = (48, 64)) -> None:
    """Write a smooth random image."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 8, 3)).astype(np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (size[1], size[0])))
