"""Where snippets of the official documentation find what they name: models, images, a video.

The models of the hub are in its cache, with the names, layers and kinds of the official ones, but
narrow and with weights made by rule: everything about them is right except what they predict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
import shutil
from typing import Any

import av
import cv2
from huggingface_hub import constants
import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.checkpoint import save_checkpoint
from da3_ros.model.config import (
    AnyViewConfig,
    BackboneConfig,
    CameraHeadConfig,
    NestedConfig,
    NetworkConfig,
)
from helpers import tiny
from helpers.colmap_writer import write_binary
from tools.parity.synthetic_weights import synthetic_network

ROOT = Path(__file__).resolve().parents[2]
SOH = 'assets/examples/SOH'
VIDEO = 'assets/examples/robot_unitree.mp4'

SIDE = 56
"""Processed size of the models' images, px: it is in their configurations."""

SMALL = AnyViewConfig(
    'da3-small',
    BackboneConfig(48, 12, 3, 'mlp', (5, 7, 9, 11), 4),
    tiny.ANY_VIEW.head,
    CameraHeadConfig(2, 4),
    process_res=SIDE,
)
GIANT = AnyViewConfig(
    'da3-giant',
    BackboneConfig(48, 40, 3, 'swiglu', (19, 27, 33, 39), 13),
    tiny.ANY_VIEW.head,
    CameraHeadConfig(2, 4),
    tiny.GAUSSIAN,
    process_res=28,
)
METRIC = replace(tiny.SINGLE_VIEW, name='da3metric-large')
NESTED = NestedConfig('da3nested-giant-large', GIANT, METRIC)

REPOSITORIES: dict[str, NetworkConfig] = {
    'DA3-SMALL': SMALL,
    'DA3-GIANT': GIANT,
    'DA3METRIC-LARGE': METRIC,
    'DA3NESTED-GIANT-LARGE': NESTED,
}
_COMMIT = '0123456789abcdef0123456789abcdef01234567'
_SIZE = (48, 64)
_FOCAL_PX = 60.0


@contextmanager
def hub_cache(folder: Path) -> Iterator[Path]:
    """Fill a cache of the hub with the models and use it, without a network."""
    for name, config in REPOSITORIES.items():
        repository = folder / f'models--depth-anything--{name}'
        (repository / 'refs').mkdir(parents=True)
        (repository / 'refs' / 'main').write_text(_COMMIT)
        save_checkpoint(synthetic_network(config), repository / 'snapshots' / _COMMIT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, 'HF_HUB_CACHE', str(folder))
        patch.setenv('HF_HUB_OFFLINE', '1')
        patch.delenv('DA3_MODEL', raising=False)
        yield folder


def write_inputs(folder: Path) -> None:
    """Write what the snippets name: images, a folder of images, a video, a COLMAP model."""
    scene = folder / SOH
    images = folder / 'colmap_data' / 'images'
    for made in (scene, images):
        made.mkdir(parents=True)
    for index in range(3):
        cv2.imwrite(str(folder / f'image{index + 1}.jpg'), photo(index)[..., ::-1])
        cv2.imwrite(str(scene / f'{index:03d}.png'), photo(index)[..., ::-1])
        shutil.copy(scene / f'{index:03d}.png', images)
    _write_video(folder / VIDEO)
    write_binary(
        folder / 'colmap_data' / 'sparse' / '0',
        [(1, 'PINHOLE', _SIZE[1], _SIZE[0], (_FOCAL_PX, _FOCAL_PX, 32.0, 24.0))],
        [(n + 1, (1, 0, 0, 0, 0.1 * n, 0, 0), 1, f'{n:03d}.png', ()) for n in range(3)],
    )


def photo(seed: int) -> NDArray[np.uint8]:
    """Return a smooth random RGB image (48, 64, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, _SIZE[::-1]), np.uint8)


def _write_video(path: Path) -> None:
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=15)
        stream.width, stream.height, stream.pix_fmt = _SIZE[1], _SIZE[0], 'yuv420p'
        for index in range(4):
            frame = av.VideoFrame.from_ndarray(photo(index), format='rgb24')
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@dataclass
class Place:
    """The working folder of one snippet, and who watches it."""

    folder: Path
    patch: pytest.MonkeyPatch
    log: pytest.LogCaptureFixture
    screen: pytest.CaptureFixture[str]

    images = ('image1.jpg', 'image2.jpg')

    @property
    def extrinsics(self) -> NDArray[np.float64]:
        """(2, 4, 4) camera_from_world of two cameras side by side."""
        poses = np.tile(np.eye(4), (2, 1, 1))
        poses[1, 0, 3] = -0.2
        return poses

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """(2, 3, 3) of the images."""
        height, width = _SIZE
        return np.tile(
            [[_FOCAL_PX, 0, width / 2], [0, _FOCAL_PX, height / 2], [0, 0, 1]], (2, 1, 1)
        )

    def written(self, folder: str = 'output') -> set[str]:
        """Return the files below a folder, relative to it, without hidden ones."""
        root = self.folder / folder
        files = {p.relative_to(root) for p in root.rglob('*') if p.is_file()}
        return {str(path) for path in files if not path.name.startswith('.')}

    def arrays(self, name: str, folder: str = 'output') -> dict[str, NDArray[np.generic]]:
        """Return the arrays of `npz` or `mini_npz`."""
        with np.load(self.folder / folder / 'exports' / name / 'results.npz') as archive:
            return dict(archive)


Check = Callable[[Place], None]
ROWS: dict[int, Check] = {}
"""Number of a row to what runs its snippet and asserts what is right."""


def row(*numbers: int) -> Callable[[Check], Check]:
    """Register a function as that of rows."""

    def register(check: Check) -> Check:
        assert not set(numbers) & set(ROWS)
        ROWS.update(dict.fromkeys(numbers, check))
        return check

    return register


def model(name: str, **options: Any) -> DepthAnything3:
    """Load a model of the hub, e.g. `-SMALL`."""
    return DepthAnything3.from_pretrained(f'depth-anything/DA3{name}', **options)


def small() -> DepthAnything3:
    """Load DA3-SMALL."""
    return model('-SMALL')


def folder_images() -> list[str]:
    """Return the paths of the images in the folder that is named most."""
    return sorted(str(path) for path in Path(SOH).glob('*.png'))


def infer(network: DepthAnything3, place: Place, **options: Any) -> Any:
    """Return the prediction of the two images."""
    return network.inference(list(place.images), **options)
