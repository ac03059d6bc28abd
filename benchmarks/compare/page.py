"""The tables and pictures of a run in `docs/performance.md`, between marks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import shutil

from benchmarks.compare.tables import BLOCKS

COMMAND = 'benchmarks/compare_official.py'
PICTURE = 'compare_{}.png'
"""In the folder of the page, by network."""


def begin(name: str) -> str:
    """Return the mark before a block."""
    return f'<!-- made by {COMMAND} --docs: {name} -->'


def end(name: str) -> str:
    """Return the mark behind a block."""
    return f'<!-- end of {name} -->'


def read(text: str) -> dict[str, str]:
    """Return what stands between the marks of a page.

    Raises:
        ValueError: a mark is missing.
    """
    found = {}
    for name in (*BLOCKS, 'pictures'):
        start, stop = text.find(begin(name)), text.find(end(name))
        if start < 0 or stop < start:
            raise ValueError(f'expected the marks {begin(name)!r} and {end(name)!r} in the page')
        found[name] = text[start + len(begin(name)) : stop].strip()
    return found


def with_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """Return a page with other blocks.

    Raises:
        ValueError: a mark is missing.
    """
    read(text)
    for name, block in blocks.items():
        head, _, rest = text.partition(begin(name))
        _, _, tail = rest.partition(end(name))
        text = f'{head}{begin(name)}\n\n{block.strip()}\n\n{end(name)}{tail}'
    return text


def refresh(page: Path, blocks: Mapping[str, str], pictures: list[Path]) -> None:
    """Write blocks and pictures into a page and its folder."""
    lines = []
    for picture in pictures:
        name = PICTURE.format(picture.stem)
        shutil.copyfile(picture, page.parent / name)
        lines.append(f'![{picture.stem}, how many times faster]({name})')
    whole = {**blocks, 'pictures': '\n'.join(lines)}
    page.write_text(with_blocks(page.read_text(encoding='utf-8'), whole), encoding='utf-8')
