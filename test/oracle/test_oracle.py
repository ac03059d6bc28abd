"""Inputs that no stored case covers, against the upstream implementation itself.

Needs an environment of its own, never a dependency of this project: one that has torch,
safetensors and, installed with `--no-deps`, depth-anything-3==0.1.1 with what it imports (addict,
e3nn, einops, evo, omegaconf, opt_einsum_fx). Its interpreter is named by `DA3_REFERENCE_PYTHON`:

    DA3_REFERENCE_PYTHON=/path/to/python pytest -m slow test/oracle
"""

import json
import os
from pathlib import Path
import subprocess
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
from scipy.spatial.transform import Rotation
import torch
from torch import Tensor

from da3_ros.inference.checkpoint import save_checkpoint
from da3_ros.inference.pose_alignment import normalise_extrinsics
from da3_ros.model.config import GaussianConfig, PyramidConfig
from da3_ros.model.gaussian_adapter import (
    join_gaussians,
    place_gaussians,
    scale_to_given_cameras,
)
from da3_ros.model.gaussian_head import RawGaussians
from da3_ros.model.pose_encoding import invert_rigid
from da3_ros.model.presets import PRESETS
from tools.parity.goldens import max_error_to_peak, max_relative_error
from tools.parity.synthetic_weights import synthetic_network

PYTHON = os.environ.get('DA3_REFERENCE_PYTHON')
BOUND = 1e-4
GAUSSIAN_BOUND = 1e-4
HEAD = PyramidConfig(256, (256, 512, 1024, 1024))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(PYTHON is None, reason='DA3_REFERENCE_PYTHON names no interpreter'),
]

Arrays = dict[str, NDArray[np.float32]]


def reference(folder: Path, options: dict[str, Any], tensors: dict[str, Tensor]) -> Arrays:
    assert PYTHON is not None
    request, result = folder / 'request.npz', folder / 'result.npz'
    arrays: dict[str, Any] = {name: value.numpy() for name, value in tensors.items()}
    np.savez(request, options=json.dumps(options), **arrays)
    script = Path(__file__).with_name('run_reference.py')
    done = subprocess.run(
        [PYTHON, str(script), str(request), str(result)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(result) as stored:
        return {name: stored[name] for name in stored.files}


def poses(count: int, seed: int) -> Tensor:
    """Return camera_from_world (count, 4, 4)."""
    rng = np.random.default_rng(seed)
    matrices = np.tile(np.eye(4), (count, 1, 1))
    matrices[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.4, (count, 3))).as_matrix()
    matrices[:, :3, 3] = rng.normal(size=(count, 3))
    return torch.from_numpy(matrices).float()


def intrinsics(count: int, size: tuple[int, int]) -> Tensor:
    height, width = size
    K = torch.tensor([[0.9 * width, 0, width / 2], [0, 0.95 * width, height / 2], [0, 0, 1]])
    return K.repeat(count, 1, 1)


@pytest.mark.parametrize(
    ('preset', 'views', 'size', 'conditioned'),
    [
        ('da3-small', 5, (98, 56), False),
        ('da3-small', 10, (42, 70), False),
        ('da3-small', 1, (28, 28), False),
        ('da3-small', 12, (42, 56), True),
        ('da3-base', 6, (70, 42), False),
        ('da3mono-large', 3, (98, 42), False),
        ('da3metric-large', 9, (42, 56), False),
    ],
)
@torch.inference_mode()
def test_networks(
    preset: str, views: int, size: tuple[int, int], conditioned: bool, tmp_path: Path
) -> None:
    network = synthetic_network(PRESETS[preset])
    options = {'kind': 'network', 'preset': preset}
    options['weights'] = str(save_checkpoint(network, tmp_path).weights)
    generator = torch.Generator().manual_seed(views)
    tensors = {'images': torch.randn(1, views, 3, *size, generator=generator)}
    if conditioned:
        normalised = normalise_extrinsics(poses(views, 1).numpy())
        tensors['extrinsics'] = torch.from_numpy(normalised)[None]
        tensors['intrinsics'] = intrinsics(views, size)[None]
    expected = reference(tmp_path, options, tensors)
    output = network(*tensors.values())
    for name, values in expected.items():
        signed = name in ('sky', 'extrinsics', 'intrinsics')
        measure = max_error_to_peak if signed else max_relative_error
        error = measure(getattr(output, name).numpy(), values)
        print(f'{preset} {views} views {size} {name}: {error:.1e}')  # noqa: T201
        assert error <= BOUND, name
    (tmp_path / 'model.safetensors').unlink()


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('given', [None, 0.8, 20.0])
def test_gaussian_adapter(seed: int, given: float | None, tmp_path: Path) -> None:
    scenes, views, size = 2, 4, (9, 14)
    generator = torch.Generator().manual_seed(seed)
    extrinsics = torch.stack([poses(views, 2 * seed), poses(views, 2 * seed + 1)])
    tensors = {
        'extrinsics': extrinsics,
        'intrinsics': intrinsics(views, size).repeat(scenes, 1, 1, 1),
        'depth': 1 + torch.rand(scenes, views, *size, generator=generator),
        'opacity': torch.rand(scenes, views, *size, generator=generator),
        'raw': torch.randn(scenes, views, *size, 37, generator=generator),
    }
    if given is not None:
        noise = torch.randn(scenes, views, 3, generator=generator)
        moved = extrinsics.clone()
        moved[..., :3, 3] = given * moved[..., :3, 3] + 0.05 * noise
        tensors['given'] = moved
    expected = reference(tmp_path, {'kind': 'adapter', 'size': size}, tensors)
    scale = scale_to_given_cameras(extrinsics[..., :3, :], tensors.get('given'))
    got = join_gaussians(
        [
            place_gaussians(
                RawGaussians(tensors['raw'][scene], tensors['opacity'][scene]),
                tensors['depth'][scene],
                invert_rigid(extrinsics[scene])[:, :3],
                tensors['intrinsics'][scene],
                GaussianConfig(HEAD),
                scale[scene].expand(views),
            )
            for scene in range(scenes)
        ],
        scenes,
    )
    for name, values in expected.items():
        error = max_error_to_peak(getattr(got, name).numpy(), values)
        print(f'seed {seed}, given {given}, {name}: {error:.1e}')  # noqa: T201
        assert error <= GAUSSIAN_BOUND, name
