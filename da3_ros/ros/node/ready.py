"""The line by which the node says that it works now, and with what."""

from __future__ import annotations

from collections.abc import Sequence

from da3_ros.foreign import expanded
from da3_ros.inference.hub import repository_of
from da3_ros.inference.runtimes.choose import RANDOM_PREFIX
from da3_ros.model.presets import BUNDLED
from da3_ros.pipeline.estimators import TRUTH_MODEL
from da3_ros.process import READY, threads_in_use, usable_cores


def ready_line(
    model: str | None,
    device: str,
    cameras: Sequence[str],
    topics: Sequence[str],
    computed: str = '',
) -> str:
    """Return what the node is ready with.

    Args:
        model: value of the parameter `model`; None for an estimator of one's own.
        device: where the network computes; `none` without one.
        cameras: their names.
        topics: that are subscribed to; empty where processing is disabled.
        computed: runtime and number format of the network, e.g. `openvino in fp32`; empty
            without one.
    """
    by = f' by {computed}' if computed else ''
    where = '' if device == 'none' else f' on {device}{by}{_threads()}'
    heard = f'subscribed to {", ".join(topics)}' if topics else 'subscribed to none: disabled'
    plural = '' if len(cameras) == 1 else 's'
    return f'{READY}: {_model(model)}{where}; camera{plural} {", ".join(cameras)}; {heard}'


def _model(model: str | None) -> str:
    """Return which network it is and where its weights come from."""
    if model is None:
        return 'an estimator of its own'
    if model == TRUTH_MODEL:
        return 'exact geometry of the synthetic room'
    if model.startswith(RANDOM_PREFIX):
        name = model.removeprefix(RANDOM_PREFIX)
        return f'{name} with random weights (output means nothing)'
    if model in BUNDLED:
        return f'{model} (weights of this package)'
    if expanded(model).is_dir():
        return f'network of the folder {model}'
    repository = repository_of(model)
    return model if repository == model else f'{model} (weights of {repository})'


def _threads() -> str:
    """Return with how many threads the network computes; nothing where none is loaded."""
    threads = threads_in_use()
    if threads is None:
        return ''
    plural = '' if threads == 1 else 's'
    return f', {threads} thread{plural} for the network, {usable_cores()} cores'
