"""The public names where the upstream package has them: `from da3_ros.api import DepthAnything3`.

Importing it is cheap; as those of `da3_ros`, the names are resolved on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ['DepthAnything3', 'PoseAlignment', 'Prediction']

if TYPE_CHECKING:
    from da3_ros.inference.api import DepthAnything3, PoseAlignment, Prediction


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name in __all__:
        return getattr(import_module('da3_ros.inference.api'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
