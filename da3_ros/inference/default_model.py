"""Which network is used where nobody names one: one rule for every entrance."""

from dataclasses import dataclass
import os

from da3_ros.errors import CheckpointError
from da3_ros.inference.hub import UPSTREAM, HubOptions, is_cached, unreachable_reason

VARIABLE = 'DA3_MODEL'
"""Environment variable that overrides the rule, never a model that was named."""

PREFERRED = ('da3-small', 'da3-base')
"""By preference. Their licence allows commercial use, and a CPU can run them."""


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """A model and why it is used."""

    name: str
    """Preset, hub repository or folder."""
    reason: str
    """A phrase that says why the rule chose it; empty where it was asked for."""

    @property
    def title(self) -> str:
        """Name and reason, for a log."""
        return f'{self.name} ({self.reason})' if self.reason else self.name


def model_or_default(asked: str | None) -> ChosenModel:
    """Return the model that was asked for, that of the rule where none was.

    Raises:
        CheckpointError: see `choose_default_model`.
    """
    return ChosenModel(asked, '') if asked else choose_default_model()


def choose_default_model() -> ChosenModel:
    """Return the network to use where none was named.

    It is that of `DA3_MODEL`; else the first of `PREFERRED` that is in the local cache; else the
    first of them from the hub. A network whose licence forbids commercial use is never chosen,
    nor is the test network of this package.

    Returns:
        The model; nothing has been downloaded.

    Raises:
        CheckpointError: none is cached and the hub cannot be reached; ends in a command.
    """
    given = os.environ.get(VARIABLE, '').strip()
    if given:
        return ChosenModel(given, f'named by {VARIABLE}')
    for name in PREFERRED:
        if is_cached(name):
            return ChosenModel(name, 'the default, in the local cache')
    name = PREFERRED[0]
    upstream = UPSTREAM[name]
    reason = unreachable_reason(upstream.repository, HubOptions())
    if reason:
        raise CheckpointError(
            f'no model was named, {" and ".join(PREFERRED)} are not in the local cache, and '
            f'{reason}. Where there is a network, run (about {upstream.size_mb} MB): '
            f'hf download {upstream.repository}'
        )
    return ChosenModel(
        name, f'the default, about {upstream.size_mb} MB from {upstream.repository}'
    )
