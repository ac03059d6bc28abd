"""What makes a layout a kind of dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from da3_ros.sources.datasets.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Kind:
    """One layout of datasets."""

    name: str
    """That `Dataset.kind` and users call it by."""
    layout: str
    """By what it is recognised, for people."""
    is_it: Callable[[Path], bool]
    """Whether a path has the layout; looks at names only."""
    read: Callable[[Path], Dataset]
    """Opens a path that has it."""
