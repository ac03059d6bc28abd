"""Which runtimes are asked for and installed here; nothing of them is loaded to find out."""

from __future__ import annotations

from importlib import import_module, metadata
from importlib.util import find_spec
import os
from types import ModuleType

from da3_ros.errors import ConfigError, ModelError
from da3_ros.foreign import reason_of
from da3_ros.options.choices import RUNTIMES, Runtime

VARIABLE = 'DA3_RUNTIME'
"""Environment variable that says what `auto` is; never overrides a runtime that was named."""

EXTRA = {'openvino': "pip install '.[openvino]'", 'onnxruntime': "pip install '.[onnxruntime]'"}
"""What installs a runtime other than torch, from a clone of this package; by preference."""


def asked_runtime(runtime: Runtime) -> Runtime:
    """Return the runtime that an option and, where it is `auto`, the environment ask for.

    Raises:
        ConfigError: the environment names none.
    """
    given = os.environ.get(VARIABLE, '').strip()
    if runtime != 'auto' or not given:
        return runtime
    for known in RUNTIMES:
        if given == known:
            return known
    raise ConfigError(f'{VARIABLE}: expected one of {", ".join(RUNTIMES)}, got {given!r}')


def is_installed(package: str) -> bool:
    """Return whether a package is installed here.

    A folder of that name without code, as `onnx` beside a user's program, is none.
    """
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def installed_runtimes() -> dict[str, str]:
    """Return the runtimes that are installed here, and the version of each."""
    names = ('torch', *EXTRA)
    return {name: _version(name) for name in names if is_installed(name)}


def missing_builders() -> tuple[str, ...]:
    """Return the packages that are missing here to build engines."""
    found = {
        'torch': is_installed('torch'),
        'onnx': is_installed('onnx'),
        'onnx_ir': is_installed('onnx_ir'),
        'onnxscript': is_installed('onnxscript'),
    }
    return tuple(name for name, is_there in found.items() if not is_there)


def require_runtime(runtime: str) -> None:
    """Raise ModelError when a runtime is not installed here; says what installs it."""
    if not is_installed(runtime):
        how = EXTRA.get(runtime, f'pip install {runtime}')
        raise ModelError(
            f'runtime {runtime}: the package {runtime} is not installed; in a clone of da3_ros: '
            f'{how}, or use runtime auto'
        )


def load_runtime(runtime: str) -> ModuleType:
    """Return the package of a runtime.

    Raises:
        ModelError: it is not installed, or cannot be loaded.
    """
    require_runtime(runtime)
    try:
        return import_module(runtime)
    except Exception as error:
        # Whatever a package of others raises: a library that is missing, another NumPy.
        raise ModelError(
            f'runtime {runtime}: the package {runtime} cannot be loaded: {reason_of(error)}; '
            'install it again, or use runtime torch'
        ) from error


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return 'version unknown'
