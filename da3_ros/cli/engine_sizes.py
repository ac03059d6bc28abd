"""For which image sizes graphs are made, as `da3 compile` and `da3 export-onnx` are asked."""

from __future__ import annotations

from collections.abc import Sequence
import re
from typing import Annotated, TypeAlias

import typer

from da3_ros.model.config import PATCH_SIZE
from da3_ros.options.network import NETWORK

COMMON_ASPECTS = ('4:3', '16:9')
"""Of cameras, where nobody says which."""

Sizes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        '--size',
        metavar='WxH',
        help='Size in the network, e.g. 504x280; may be repeated.',
        show_default=False,
    ),
]
Aspects: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        '--aspect',
        metavar='W:H',
        help='Aspect of the images, or their size; may be repeated. '
        f'Default, without --size: {" and ".join(COMMON_ASPECTS)}.',
        show_default=False,
    ),
]


def wanted_sizes(
    sizes: Sequence[str], aspects: Sequence[str], process_res: int
) -> tuple[tuple[int, int], ...]:
    """Return the (H, W) that are asked for, px, each once; those of common cameras for none.

    Args:
        sizes: of `--size`.
        aspects: of `--aspect`.
        process_res: longest side that images of an aspect get, px.

    Raises:
        BadParameter: one is no size that the network takes.
    """
    if not sizes and not aspects:
        aspects = COMMON_ASPECTS
    found = [*map(_size, sizes), *(_size_of_aspect(aspect, process_res) for aspect in aspects)]
    return tuple(dict.fromkeys(found))


def in_pixels(size: tuple[int, int]) -> str:
    """Return (H, W) as users write it, width first."""
    return f'{size[1]}x{size[0]}'


def _size(text: str) -> tuple[int, int]:
    width, height = _numbers('--size', text, 'x', '504x280')
    if width % PATCH_SIZE or height % PATCH_SIZE:
        near = (_nearest(height), _nearest(width))
        raise typer.BadParameter(
            f'--size: expected multiples of {PATCH_SIZE}, got {text}; {in_pixels(near)} is near'
        )
    return _bounded('--size', text, (height, width))


def _size_of_aspect(text: str, process_res: int) -> tuple[int, int]:
    from da3_ros.geometry.camera import ImageSize
    from da3_ros.inference.preprocess import input_size

    width, height = _numbers('--aspect', text, '[:x]', '16:9')
    # An aspect is that of an image which is large enough to be reduced.
    factor = max(1, -(-2 * process_res // min(width, height)))
    image = ImageSize(height=height * factor, width=width * factor)
    size = input_size(image, process_res, NETWORK.process_res_method)
    if min(size) < PATCH_SIZE:
        raise typer.BadParameter(
            f'--aspect: {text} at {process_res} px gives {in_pixels(size)}, less than a patch of '
            f'{PATCH_SIZE}; use a larger --process-res'
        )
    return _bounded('--aspect', text, size)


def _bounded(flag: str, text: str, size: tuple[int, int]) -> tuple[int, int]:
    from da3_ros.inference.runtimes.engine_files import MAX_SIDE

    if max(size) > MAX_SIDE:
        raise typer.BadParameter(
            f'{flag}: expected at most {MAX_SIDE} px a side, {text} gives {in_pixels(size)}'
        )
    return size


def _numbers(flag: str, text: str, between: str, example: str) -> tuple[int, int]:
    match = re.fullmatch(rf'([1-9]\d{{0,4}}){between}([1-9]\d{{0,4}})', text.strip())
    if match is None:
        raise typer.BadParameter(f'{flag}: expected width and height like {example}, got {text!r}')
    return int(match[1]), int(match[2])


def _nearest(side: int) -> int:
    return max(1, round(side / PATCH_SIZE)) * PATCH_SIZE
