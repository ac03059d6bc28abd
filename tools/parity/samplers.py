"""Recorded random choices in the place of drawn ones."""

import numpy as np
import torch
from torch import Tensor

from tools.parity.goldens import Golden


class RecordedSampler:
    """Sampler of the ray fit that replays what the reference drew."""

    def __init__(self, golden: Golden, prefix: str = '') -> None:
        self._golden = golden
        self._prefix = prefix

    def minimal_sets(self, pool: int) -> Tensor:
        """Return the recorded minimal sets."""
        sets = self._golden[f'{self._prefix}ransac_sample_idx'].astype(np.int64)
        assert sets.max() < pool
        return torch.from_numpy(sets)

    def refit_order(self, view: int, count: int) -> Tensor:
        """Return the recorded permutation of a view."""
        order = self._golden[f'{self._prefix}ransac_refit_perm_{view}'].astype(np.int64)
        assert order.max() < count
        return torch.from_numpy(order)
