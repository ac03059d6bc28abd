"""Networks from configurations of the upstream style, under the upstream names.

The upstream `create_object` imports whatever a file names. Here classes are looked up in a table
(`inference.upstream_config`): a file can describe a network, and can do nothing else.
"""

from collections.abc import Mapping
import logging
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from da3_ros.errors import CheckpointError

if TYPE_CHECKING:
    from da3_ros.model.build import Network

__all__ = ['create_object', 'load_config']

_NAME_KEY = 'name'
"""What `load_config` calls the network: the file's stem, where the file does not say."""

_logger = logging.getLogger(__name__)


def load_config(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a configuration, its parents (`__inherit__`) merged.

    Args:
        path: YAML or JSON file, or the dotted name of an upstream one, e.g.
            `depth_anything_3.configs.da3-large`, whose last part names the preset.

    Returns:
        The mapping, to look at, to change, and for `create_object`.

    Raises:
        CheckpointError: The file cannot be read, is not in the upstream style, or a parent is
            not known.
    """
    from da3_ros.inference.network_file import read_merged
    from da3_ros.inference.upstream_config import OBJECT_KEY, preset_node

    text = str(path)
    if '.' in text and '/' not in text and not text.endswith(('.yaml', '.yml', '.json')):
        name = text.rpartition('.')[-1]
        merged = preset_node(text)
    else:
        name, merged = Path(path).stem, read_merged(Path(path))
    if OBJECT_KEY not in merged:
        raise CheckpointError(
            f'{text}: expected {OBJECT_KEY}, as in the upstream configurations; '
            'DepthAnything3.from_config reads the other kinds'
        )
    return {_NAME_KEY: name, **merged}


def create_object(config: Mapping[str, Any], *, seed: int = 0) -> 'Network':
    """Build the network that a configuration describes, with random weights.

    Load weights into it with `load_state_dict`, then wrap it: `DepthAnything3(network=...)`.

    Args:
        config: From `load_config`, or a mapping of one's own in the upstream style.
        seed: Seed of the random weights.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        CheckpointError: A class, an argument or a value is not known; it is named. Nothing is
            ever imported by its name.
        ModelError: The parts do not fit.
    """
    from da3_ros.inference.network_size import check_size
    from da3_ros.inference.random_weights import mark_random, random_network
    from da3_ros.inference.upstream_config import config_from_upstream

    node = dict(config)
    name = node.pop(_NAME_KEY, 'custom')
    if not isinstance(name, str):
        raise CheckpointError(f'{_NAME_KEY}: expected a text, got {name!r}')
    described = config_from_upstream(node, name)
    check_size(described)
    network = random_network(described, seed)
    mark_random(network)
    _logger.warning(
        '%s has random weights (seed %d): until weights are loaded, its output means nothing',
        name,
        seed,
    )
    return network
