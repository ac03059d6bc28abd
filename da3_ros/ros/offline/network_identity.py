"""Which network computes: what a run that goes on has to have in common with the one before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from da3_ros.errors import CheckpointError
from da3_ros.foreign import expanded
from da3_ros.options import EstimatorOptions
from da3_ros.pipeline.estimators import TRUTH_MODEL
from da3_ros.types import Estimator, NetworkEstimator, SaysWhatComputes

_RANDOM = 'random:'


@dataclass(frozen=True, slots=True)
class NetworkIdentity:
    """What computes, as far as it decides what comes out."""

    model: str
    """Its name."""
    weights: str
    """Hash of its file; empty where it has none."""
    computed_by: str
    """Runtime, number format and device; empty for no network."""


def identity_of(options: EstimatorOptions, estimator: Estimator) -> NetworkIdentity:
    """Return what a loaded estimator is.

    Args:
        options: that it was made by.
        estimator: made.

    Raises:
        CheckpointError: its weights are gone meanwhile.
    """
    by = estimator.computed_by if isinstance(estimator, SaysWhatComputes) else ''
    device = estimator.device if isinstance(estimator, NetworkEstimator) else ''
    computed_by = ' on '.join(part for part in (by, device) if part)
    # A folder may have moved; the hash says which network it holds.
    name = Path(options.model).name if expanded(options.model).exists() else options.model
    return NetworkIdentity(name, _weights_hash(options), computed_by)


def _weights_hash(options: EstimatorOptions) -> str:
    from da3_ros.inference.hub import HubOptions, find_checkpoint
    from da3_ros.inference.runtimes.engine_files import is_engine, sha256_of
    from da3_ros.inference.runtimes.engine_store import EngineStore
    from da3_ros.inference.runtimes.stored_graphs import read_kept

    model = options.model
    if model == TRUTH_MODEL or model.startswith(_RANDOM):
        return ''
    if is_engine(expanded(model)):
        return read_kept(expanded(model)).weights_sha256
    wanted = HubOptions(revision=options.revision or None, local_files_only=True)
    weights = find_checkpoint(model, wanted).weights
    try:
        return EngineStore().hashes.of(weights)
    except CheckpointError:
        # Nothing can be remembered here.
        return sha256_of(weights)
