"""What a stream will take, by headers alone: frames, windows, time, memory and disk."""

from __future__ import annotations

from dataclasses import dataclass
import math
import time
from typing import TYPE_CHECKING, Any

import typer

from da3_ros.cli.reporting import in_words
from da3_ros.cli.view_check import number_format
from da3_ros.cli.wanted_network import choose_device, config_of
from da3_ros.errors import ModelError
from da3_ros.options import EstimatorOptions
from da3_ros.sinks.stream_results import FUSED_FORMATS, MOST_FUSED, PER_VIEW_FORMATS

if TYPE_CHECKING:
    from da3_ros.geometry.camera import ImageSize
    from da3_ros.inference.view_limit import ViewLimit
    from da3_ros.model.config import NetworkConfig

_MIB, _GIB = 2**20, 2**30
_MOST_ON_GPU, _MOST_ON_CPU = 60, 16
"""Views of a window that is not asked for: more makes poses hardly better, and a CPU slow."""
_BY_WORDS = {
    'asked': '',
    'default': '; by default',
    'memory': '; as the memory of the device allows',
    'free_memory': '; as the memory that is free now allows',
}
_FRAME_BYTES = 3 + 4 + 4
"""Of a pixel in the archive of a frame: colour, depth, confidence."""
_POINT_BYTES = 15
_TRIAL = 1024
_EFFICIENCY = 0.4
"""Of the speed of large products that a whole network reaches."""
_TRIALS = 3


@dataclass(frozen=True, slots=True)
class WindowWish:
    """What was asked for of windows; 0 where nothing was."""

    window: int
    stride: int
    may_shrink: bool = False
    """Whether a window that is not asked for becomes smaller where too little memory is free."""


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What a stream will take."""

    frames: int
    """Of all cameras together; as a header says, where there is one."""
    windows: int
    window: int
    stride: int
    window_by: str
    """What chose the window, see `_own_window`; `asked` where the user did."""
    size: tuple[int, int]
    """Height and width of depth."""
    store_every: int
    """Every n-th frame gets an archive; 0 for none."""
    disk_bytes: int
    memory_bytes: int | None
    """Of a window, beside the weights; None where the system does not say."""
    seconds: float | None
    """By a trial of the processor; None where that says nothing."""

    @property
    def text(self) -> str:
        """One line for people."""
        height, width = self.size
        parts = [
            f'{self.frames} frames in {self.windows} windows of {self.window} '
            f'({self.window - self.stride} shared{_BY_WORDS[self.window_by]}), depth of '
            f'{width}x{height}'
        ]
        if self.seconds is not None:
            parts.append(f'about {_rough(self.seconds)}')
        if self.memory_bytes is not None:
            parts.append(f'about {_bytes_text(self.memory_bytes)} of memory beside the network')
        parts.append(f'at most {_bytes_text(self.disk_bytes)} of disk')
        return '; '.join(parts)

    def content(self) -> dict[str, Any]:
        """Return the plan for JSON."""
        return {
            'frames': self.frames,
            'windows': self.windows,
            'window': self.window,
            'stride': self.stride,
            'window_by': self.window_by,
            'size': list(self.size),
            'seconds': self.seconds,
            'memory_bytes': self.memory_bytes,
            'disk_bytes': self.disk_bytes,
        }


def make_plan(
    frames: int,
    size: ImageSize,
    cameras: int,
    wish: WindowWish,
    network: EstimatorOptions,
    formats: tuple[str, ...],
    *,
    save_frames: bool,
    sample_ratio: float,
) -> StreamPlan:
    """Return the plan of a stream.

    Args:
        frames: of all cameras together.
        size: of the first image.
        cameras: how many there are.
        wish: windows that are asked for.
        network: with the name of a model.
        formats: that are exported at the end.
        save_frames: whether the archive of every frame is kept.
        sample_ratio: share of the points in the clouds.

    Raises:
        BadParameter: window and stride do not go together, or there is no such device.
        CheckpointError: there is no such network.
        ModelError: a window that is asked for does not fit into memory.
    """
    from da3_ros.inference.view_limit import common_input_size

    device = choose_device(network.device)
    config = _config(network.model)
    side = network.process_res or (config.process_res if config else 504)
    height, width = common_input_size([size], side, network.process_res_method)
    limit = None if config is None else _limit(config, device, (height, width), network)
    sets = -(-frames // cameras)
    most = _MOST_ON_CPU if device == 'cpu' else _MOST_ON_GPU
    if config is not None and config.any_view is None:
        most = 1  # nothing relates the views that it sees alone
    window, stride, window_by = _windows(wish, cameras, sets, most, limit)
    windows = max(1, -(-sets // stride))
    every = _store_every(frames, formats, save_frames=save_frames)
    stored = -(-frames // every) if every else 0
    pixels = height * width
    points = int(2 * _POINT_BYTES * sample_ratio * frames * pixels)
    return StreamPlan(
        frames=frames,
        windows=windows,
        window=window,
        stride=stride,
        window_by=window_by,
        size=(height, width),
        store_every=every,
        disk_bytes=_FRAME_BYTES * pixels * stored + points,
        memory_bytes=None if limit is None else limit.bytes_of(min(window, sets) * cameras),
        seconds=None
        if config is None
        else windows * _operations(config, window * cameras, stride * cameras, pixels)
        / _speed(device),
    )  # fmt: skip


def _config(model: str) -> NetworkConfig | None:
    """Return the network of a model, None for the truth of a synthetic world."""
    from da3_ros.inference.runtimes.choose import RANDOM_PREFIX
    from da3_ros.pipeline.estimators import TRUTH_MODEL

    return None if model == TRUTH_MODEL else config_of(model.removeprefix(RANDOM_PREFIX))


def _limit(
    config: NetworkConfig, device: str, size: tuple[int, int], network: EstimatorOptions
) -> ViewLimit | None:
    from da3_ros.inference.view_limit import limit_before_loading

    dtype = number_format(network.precision, device)
    return limit_before_loading(config, device, size, dtype=dtype, infer_gs=False)


def _windows(
    wish: WindowWish, cameras: int, sets: int, most: int, limit: ViewLimit | None
) -> tuple[int, int, str]:
    """Return window and stride in sets, and what chose the window.

    Raises:
        BadParameter: they do not go together.
        ModelError: the window does not fit.
    """
    window, chosen_by = wish.window, 'asked'
    if not window:
        window, chosen_by = _own_window(cameras, sets, most, limit, may_shrink=wish.may_shrink)
    stride = wish.stride or max(1, window // 2)
    if stride > window:
        raise typer.BadParameter(
            f'--stride: expected at most the window of {window}, got {stride}; frames between '
            'would be left out'
        )
    views = min(window, sets) * cameras
    if limit is not None and views > max(1, limit.fits):
        fits = max(1, limit.advised // cameras)
        size = _bytes_text(limit.bytes_of(views))
        raise ModelError(
            f'--window {window}: {views} views would take about {size} of memory, about '
            f'{limit.fits} fit into what is free now; free some, or use --window {fits}, or a '
            'smaller --process-res or --model'
        )
    return window, stride, chosen_by


def _own_window(
    cameras: int, sets: int, most: int, limit: ViewLimit | None, *, may_shrink: bool
) -> tuple[int, str]:
    """Return a window in sets, and what chose it.

    It is halved where all memory of the device (`memory`) is little, so that it is the same in
    every run; by what is free now (`free_memory`) only where that is allowed.
    """
    views, chosen_by = most, 'default'
    if limit is None:
        return max(1, views // cameras), chosen_by
    while limit.on_device is not None and views > max(cameras, limit.on_device):
        views, chosen_by = views // 2, 'memory'
    window = max(1, views // cameras)
    while may_shrink and window > 1 and min(window, sets) * cameras > limit.advised:
        window, chosen_by = window // 2, 'free_memory'
    return window, chosen_by


def _store_every(frames: int, formats: tuple[str, ...], *, save_frames: bool) -> int:
    if save_frames or set(formats) & set(PER_VIEW_FORMATS):
        return 1
    return -(-frames // MOST_FUSED) if set(formats) & set(FUSED_FORMATS) else 0


def _operations(config: NetworkConfig, views: int, new: int, pixels: int) -> float:
    """Return the operations of a window, roughly: products of matrices and attention."""
    from da3_ros.inference.network_size import estimated_parameters
    from da3_ros.model.presets import PARAMETERS

    parameters = PARAMETERS.get(config.name, estimated_parameters(config))
    tokens = pixels / 196
    backbone = None if config.any_view is None else config.any_view.backbone
    if backbone is None:
        return 2.0 * parameters * tokens * new
    alone = backbone.alt_start / backbone.depth
    linear = 2.0 * parameters * tokens * (alone * new + (1 - alone) * views)
    crossing = (backbone.depth - backbone.alt_start) / 2
    return linear + 4.0 * crossing * (tokens * views) ** 2 * backbone.embed_dim


def _speed(device: str) -> float:
    """Return operations per second of a device, by products of matrices."""
    if device != 'cpu':
        import torch

        side = 4 * _TRIAL
        matrix = torch.ones(side, side, device=device, dtype=torch.float16)
        matrix @ matrix
        torch.cuda.synchronize() if device.startswith('cuda') else None
        began = time.perf_counter()
        for _ in range(_TRIALS):
            matrix @ matrix
        torch.cuda.synchronize() if device.startswith('cuda') else None
    else:
        import numpy as np

        side = _TRIAL
        ones = np.ones((side, side), np.float32)
        ones @ ones
        began = time.perf_counter()
        for _ in range(_TRIALS):
            ones @ ones
    took_s = max(time.perf_counter() - began, 1e-9)
    return _EFFICIENCY * _TRIALS * 2.0 * side**3 / took_s


def _bytes_text(size: int) -> str:
    if size < _GIB:
        return f'{math.ceil(size / _MIB)} MiB'
    return f'{size / _GIB:.1f} GiB' if size < 10 * _GIB else f'{size / _GIB:.0f} GiB'


def _rough(seconds: float) -> str:
    if seconds < 90 * 60:
        return in_words(float(math.ceil(seconds)))
    return f'{seconds / 3600:.1f} h'
