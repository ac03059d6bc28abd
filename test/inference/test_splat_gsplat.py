"""The way to gsplat and back, with our own renderer in the place of gsplat's kernels."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from da3_ros.errors import ExportError
from da3_ros.export.splat_render import cpu_backend
from da3_ros.export.splat_types import PosedCamera
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import rigid
from da3_ros.inference import splat_gsplat
from da3_ros.inference.pixel_rule import posed_cameras
from da3_ros.inference.splat_gsplat import fastest_backend, gsplat_available, gsplat_backend
from helpers.gaussian_scenes import CAMERA, cloud_of, random_cloud


def as_gsplat(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    sh_degree: int,
    render_mode: str,
    packed: bool,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Answer as the documentation of `gsplat.rasterization` describes it.

    Source: https://docs.gsplat.studio, "Rasterization".
    """
    assert (render_mode, packed) == ('RGB+ED', False)
    count = len(means)
    assert quats.shape == (count, 4)
    assert colors.shape == (count, (sh_degree + 1) ** 2, 3)
    assert {t.dtype for t in (means, quats, scales, opacities, colors, viewmats, Ks)} == {
        torch.float32
    }
    cloud = cloud_of(means, scales, quats, colors.transpose(1, 2), opacities)
    cameras = posed_cameras(viewmats.numpy(), Ks.numpy(), ImageSize(height, width))
    images = list(cpu_backend(cloud)(cameras))
    colours = np.stack([np.concatenate([i.colour, i.depth[..., None]], axis=2) for i in images])
    alphas = np.stack([i.alpha[..., None] for i in images])
    return torch.from_numpy(colours), torch.from_numpy(alphas), {}


def two_cameras() -> list[PosedCamera]:
    return [CAMERA, PosedCamera(rigid(np.eye(3), [0.2, -0.1, -0.3]), CAMERA.camera)]


@pytest.mark.parametrize('degree', [0, 2])
def test_pictures_are_those_of_the_cpu(degree: int) -> None:
    cloud = random_cloud(200, degree)
    means = cloud.means.copy()
    means[3] = np.nan
    broken = cloud_of(means, cloud.scales, cloud.rotations_wxyz, cloud.harmonics, cloud.opacities)
    ours = list(gsplat_backend('cpu', as_gsplat)(broken)(two_cameras()))
    expected = list(cpu_backend(broken)(two_cameras()))
    assert len(ours) == 2
    for image, other in zip(ours, expected, strict=True):
        # Cameras go there in single precision, and alpha has a step at 1 / 255.
        for a, b in ((image.colour, other.colour), (image.alpha, other.alpha)):
            assert a.shape == b.shape
            assert np.abs(a - b).max() < 1 / 255
            assert np.quantile(np.abs(a - b), 0.99) < 1e-5
        assert np.quantile(np.abs(image.depth - other.depth), 0.99) < 1e-4


def test_skew_is_refused() -> None:
    skewed = PinholeCamera(np.array([[30.0, 1, 16], [0, 30, 12], [0, 0, 1]]), ImageSize(24, 32))
    with pytest.raises(ExportError, match='skew'):
        gsplat_backend('cpu', as_gsplat)(random_cloud(5))([PosedCamera(np.eye(4), skewed)])


def test_a_missing_gsplat_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'gsplat', None)
    with pytest.raises(ExportError, match='pip install gsplat'):
        gsplat_backend('cpu')


def gsplat_with(rasterization: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that gsplat is here, with a device that is none."""
    fake = ModuleType('gsplat')
    fake.__spec__ = ModuleSpec('gsplat', None)
    fake.rasterization = rasterization  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'gsplat', fake)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    on_cpu = splat_gsplat.gsplat_backend
    monkeypatch.setattr(splat_gsplat, 'gsplat_backend', lambda: on_cpu('cpu'))


def test_gsplat_is_the_fastest_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(**arguments: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
        calls.append(arguments['width'])
        return as_gsplat(**arguments)

    gsplat_with(counted, monkeypatch)
    list(fastest_backend()(random_cloud(5))(two_cameras()))
    assert calls == [16, 32]


def test_the_cpu_draws_where_gsplat_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**arguments: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
        raise AttributeError('no CUDA toolkit')

    gsplat_with(broken, monkeypatch)
    assert fastest_backend() is cpu_backend
    assert 'no CUDA toolkit' in caplog.text


def test_the_cpu_draws_where_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert fastest_backend() is cpu_backend


@pytest.mark.gpu
@pytest.mark.skipif(not gsplat_available(), reason='gsplat with a CUDA device is not here')
def test_gsplat_itself_draws_what_the_cpu_draws() -> None:
    cloud = random_cloud(2000)
    ours = list(gsplat_backend()(cloud)(two_cameras()))
    for image, other in zip(ours, cpu_backend(cloud)(two_cameras()), strict=True):
        assert np.quantile(np.abs(image.colour - other.colour), 0.99) < 1e-3
        assert np.quantile(np.abs(image.alpha - other.alpha), 0.99) < 1e-3
