"""Datasets of others as images with stamps, intrinsics, depth and truth where they have them.

Start with `opening.open_dataset`. One file a kind; each says what its format is and by whom.
"""

from da3_ros.sources.datasets.dataset import Dataset, DatasetFrame
from da3_ros.sources.datasets.opening import KINDS, open_dataset

__all__ = ['KINDS', 'Dataset', 'DatasetFrame', 'open_dataset']
