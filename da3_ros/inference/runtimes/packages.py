"""Which runtimes are installed here; nothing of them is loaded to find out."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec

from da3_ros.errors import ModelError

EXTRA = {'openvino': "pip install '.[openvino]'", 'onnxruntime': "pip install '.[onnxruntime]'"}
"""What installs a runtime other than torch, from a clone of this package; by preference."""

_BUILDERS = ('torch', 'onnx', 'onnx_ir', 'onnxscript')
"""Packages that build engines."""


def is_installed(runtime: str) -> bool:
    """Return whether a runtime can be loaded here."""
    return find_spec(runtime) is not None


def installed_runtimes() -> dict[str, str]:
    """Return the runtimes that are installed here, and the version of each."""
    names = ('torch', *EXTRA)
    return {name: _version(name) for name in names if is_installed(name)}


def missing_builders() -> tuple[str, ...]:
    """Return the packages that are missing here to build engines."""
    return tuple(name for name in _BUILDERS if find_spec(name) is None)


def require_runtime(runtime: str) -> None:
    """Raise ModelError when a runtime is not installed here; says what installs it."""
    if not is_installed(runtime):
        how = EXTRA.get(runtime, f'pip install {runtime}')
        raise ModelError(
            f'runtime {runtime}: the package {runtime} is not installed; in a clone of da3_ros: '
            f'{how}, or use runtime auto'
        )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return 'version unknown'
