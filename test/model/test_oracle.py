"""The upstream network itself beside ours, where somebody has installed it.

Not a dependency, and not run by default:

    pip install --no-deps --target FOLDER depth-anything-3==0.1.1 addict einops omegaconf \
        antlr4-python3-runtime==4.9.3 e3nn opt_einsum_fx
    DA3_ORACLE=FOLDER python -m pytest -m oracle
"""

from collections.abc import Callable, Iterator
import os
import sys
from typing import Any
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from da3_ros.model.forward import ForwardOptions
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.presets import PRESETS
from da3_ros.model.single_view import SingleViewNetwork
from tools.parity.synthetic_weights import synthetic_network

FOLDER = os.environ.get('DA3_ORACLE')
TOLERANCE = 1e-4

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not FOLDER, reason='DA3_ORACLE names no folder with the upstream code'),
    pytest.mark.filterwarnings('ignore'),
    pytest.mark.timeout(600),
]

Pair = tuple[Any, Any]


@pytest.fixture(scope='module')
def pair() -> Iterator[Callable[[str], Pair]]:
    """Return a function from the name of a preset to our network and the upstream one."""
    assert FOLDER is not None
    sys.path.append(FOLDER)
    made: dict[str, Pair] = {}

    def both(preset: str) -> Pair:
        if preset not in made:
            made.clear()
            made[preset] = (synthetic_network(PRESETS[preset]), _published(preset))
            ours, theirs = made[preset]
            weights = {k.removeprefix('model.'): v for k, v in ours.state_dict().items()}
            theirs.load_state_dict(weights)
        return made[preset]

    yield both
    sys.path.remove(FOLDER)


def _published(preset: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        from depth_anything_3.cfg import create_object, load_config
        from depth_anything_3.registry import MODEL_REGISTRY
    return create_object(load_config(MODEL_REGISTRY[preset])).eval()


def pictures(views: int, height: int, width: int, scenes: int = 1) -> Tensor:
    rng = np.random.default_rng((views, height, width))
    values = rng.normal(size=(scenes, views, 3, height, width))
    return torch.from_numpy(values.astype(np.float32))


def cameras(views: int, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Return cameras on a circle, looking roughly the same way."""
    rng = np.random.default_rng(views)
    extrinsics = np.tile(np.eye(4), (1, views, 1, 1))
    for view in range(1, views):
        angle = rng.normal(scale=0.2)
        turn = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        extrinsics[0, view, :3, :3] = turn
        extrinsics[0, view, :3, 3] = rng.normal(size=3)
    k = [[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1]]
    intrinsics = np.tile(np.array(k), (1, views, 1, 1))
    return torch.from_numpy(extrinsics).float(), torch.from_numpy(intrinsics).float()


def assert_close(name: str, got: Tensor, wanted: Tensor) -> None:
    wanted = wanted.reshape(got.shape)
    error = float((got - wanted).abs().max() / wanted.abs().max())
    assert error <= TOLERANCE, f'{name}: {error:.1e}'


@pytest.mark.parametrize('preset', ['da3-small', 'da3-base'])
@pytest.mark.parametrize(
    ('views', 'height', 'width', 'strategy'),
    [
        (1, 42, 84, 'first'),
        (2, 98, 56, 'saddle_balanced'),
        (3, 70, 98, 'saddle_balanced'),
        (4, 56, 56, 'middle'),
        (5, 154, 42, 'first'),
        (9, 56, 70, 'saddle_balanced'),
        (12, 28, 42, 'middle'),
    ],
)
@pytest.mark.parametrize('told', [False, True])
def test_any_view_networks(
    pair: Callable[[str], Pair],
    preset: str,
    views: int,
    height: int,
    width: int,
    strategy: str,
    told: bool,
) -> None:
    ours, theirs = pair(preset)
    assert isinstance(ours, AnyViewNetwork)
    images = pictures(views, height, width)
    known = cameras(views, width, height) if told else (None, None)
    with torch.no_grad():
        got = ours(images, *known, options=ForwardOptions(ref_view_strategy=strategy))
        wanted = theirs(
            images,
            *known,
            export_feat_layers=[],
            infer_gs=False,
            use_ray_pose=False,
            ref_view_strategy=strategy,
        )
    for name in ('depth', 'depth_conf', 'extrinsics', 'intrinsics'):
        assert_close(name, getattr(got, name), wanted[name])
    assert float(got.depth.std()) > 1e-3 * float(got.depth.mean())


@pytest.mark.parametrize(('views', 'height', 'width'), [(1, 84, 42), (3, 56, 98), (9, 42, 42)])
def test_single_view_networks(
    pair: Callable[[str], Pair], views: int, height: int, width: int
) -> None:
    ours, theirs = pair('da3mono-large')
    assert isinstance(ours, SingleViewNetwork)
    images = pictures(views, height, width)
    with torch.no_grad():
        got = ours(images)
        wanted = theirs(
            images,
            None,
            None,
            export_feat_layers=[],
            infer_gs=False,
            use_ray_pose=False,
            ref_view_strategy='first',
        )
    for name in ('depth', 'sky'):
        assert_close(name, getattr(got, name), wanted[name])
