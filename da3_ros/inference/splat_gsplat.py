"""Pictures of Gaussians by gsplat on a CUDA device: thousands of times faster than the CPU.

gsplat compiles its kernels when it is first used, which needs the CUDA toolkit and minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
import logging
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.options import ExportOptions
from da3_ros.export.splat_render import cpu_backend
from da3_ros.export.splat_types import PosedCamera, SplatBackend, SplatImage, SplatRenderer
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import invert
from da3_ros.inference.pixel_rule import corner_matrices

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_ONE_GAUSSIAN = GaussianCloud(
    means=np.array([[0, 0, 1]], np.float32),
    scales=np.full((1, 3), 0.1, np.float32),
    rotations_wxyz=np.array([[1, 0, 0, 0]], np.float32),
    harmonics=np.zeros((1, 3, 1), np.float32),
    opacities=np.ones(1, np.float32),
    grid=(1, 1, 1),
)
_ONE_CAMERA = PosedCamera(np.eye(4), PinholeCamera.from_focal(16, 16, 7.5, 7.5, ImageSize(16, 16)))

_logger = logging.getLogger(__name__)

Rasterization: TypeAlias = 'Callable[..., tuple[Tensor, Tensor, Any]]'
"""`gsplat.rasterization`."""


def gsplat_available() -> bool:
    """Return whether gsplat is installed and a CUDA device is there to run it."""
    if find_spec('gsplat') is None or find_spec('torch') is None:
        return False
    import torch

    return torch.cuda.is_available()


def fastest_backend() -> SplatBackend:
    """Return gsplat where it works, else the CPU.

    A first picture says whether it works: only then are kernels compiled, which fails where the
    CUDA toolkit is missing or does not fit.
    """
    if not gsplat_available():
        return cpu_backend
    try:
        backend = gsplat_backend()
        list(backend(_ONE_GAUSSIAN)([_ONE_CAMERA]))
    except Exception as error:
        _logger.warning('gsplat does not work here (%s); the CPU renders, slowly', error)
        return cpu_backend
    return backend


def with_renderer(options: ExportOptions) -> ExportOptions:
    """Return the options with the fastest renderer, where they name none."""
    chosen = options.of('gs_video').gs_video
    if chosen.backend is not None:
        return options
    own = {
        **options.by_format.get('gs_video', {}),
        'gs_video': replace(chosen, backend=fastest_backend()),
    }
    return replace(options, by_format={**options.by_format, 'gs_video': own})


def gsplat_backend(
    device: torch.device | str = 'cuda', rasterization: Rasterization | None = None
) -> SplatBackend:
    """Return what renders clouds on a device.

    Args:
        device: where gsplat runs; a CUDA device.
        rasterization: what to call in place of `gsplat.rasterization`; None for that.

    Raises:
        ExportError: gsplat is not installed or cannot be loaded.
    """
    import torch

    target = torch.device(device)
    rasterize = rasterization or _load_rasterization()

    def backend(cloud: GaussianCloud) -> SplatRenderer:
        usable = cloud.usable()
        rasterize_cloud = partial(
            rasterize,
            means=_tensor(cloud.means[usable], target),
            quats=_tensor(cloud.rotations_wxyz[usable], target),
            scales=_tensor(cloud.scales[usable], target),
            opacities=_tensor(cloud.opacities[usable], target),
            # (P, D, 3), not (P, 3, D).
            colors=_tensor(cloud.harmonics[usable].swapaxes(1, 2), target),
            sh_degree=cloud.degree,
        )

        def render(cameras: Sequence[PosedCamera]) -> Iterator[SplatImage]:
            return iter(_render(rasterize_cloud, cameras, target))

        return render

    return backend


def _load_rasterization() -> Rasterization:
    try:
        found: Rasterization = import_module('gsplat').rasterization
    except (ImportError, OSError, RuntimeError) as error:
        raise ExportError(
            f'gsplat cannot be loaded ({error}); install it (pip install gsplat) where a CUDA '
            'toolkit is, or let the CPU render'
        ) from error
    return found


def _render(
    rasterize_cloud: Rasterization,
    cameras: Sequence[PosedCamera],
    device: torch.device,
) -> list[SplatImage]:
    """Return the pictures of cameras of one size.

    Raises:
        ExportError: a camera with skew, which gsplat does not know.
    """
    import torch

    if any(camera.camera.K[0, 1] != 0 for camera in cameras):
        raise ExportError('gsplat renders cameras without skew only; let the CPU render this one')
    size = cameras[0].camera.size
    camera_from_world = np.stack([invert(camera.world_from_camera) for camera in cameras])
    matrices = corner_matrices(camera.camera for camera in cameras)
    with torch.no_grad():
        colours, alphas, _ = rasterize_cloud(
            viewmats=_tensor(camera_from_world, device),
            Ks=_tensor(matrices, device),
            width=size.width,
            height=size.height,
            render_mode='RGB+ED',
            packed=False,
        )
    pictures, covers = colours.cpu().numpy(), alphas.cpu().numpy()
    return [
        SplatImage(picture[..., :3], picture[..., 3], cover[..., 0])
        for picture, cover in zip(pictures, covers, strict=True)
    ]


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    import torch

    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float32, device=device)
