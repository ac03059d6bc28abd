"""Metric depth, confidence, poses and 3D scenes from ordinary cameras, with Depth Anything 3.

Importing the package is cheap: it loads neither torch nor rclpy. The public names below are
resolved on first use. Where to start reading: `pipeline` joins the network (`inference`) to the
stream (`stream`); `ros.node`, `cli.main` are the adapters around it.
"""

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING

# The generated interfaces (da3_ros.msg, .srv, .action) live in the colcon install space, this
# file may be read from a source tree or a pip installation: both are parts of one package.
__path__ = extend_path(__path__, __name__)

__version__ = '0.1.0'

__all__ = ['DepthAnything3', 'Prediction', '__version__']

_PUBLIC = {
    'DepthAnything3': 'da3_ros.inference.api',
    'Prediction': 'da3_ros.inference.prediction',
}

if TYPE_CHECKING:
    from da3_ros.inference.api import DepthAnything3
    from da3_ros.inference.prediction import Prediction


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name in _PUBLIC:
        try:
            return getattr(import_module(_PUBLIC[name]), name)
        except ModuleNotFoundError as error:
            if error.name != 'torch':
                raise
            raise ModuleNotFoundError(
                f'da3_ros.{name} needs torch, which is not installed: pip install torch. Without '
                'it the da3 command and the node compute from an engine (docs/runtimes.md)',
                name='torch',
            ) from error
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
