"""ROS packages that are used where they are installed: each has a stand-in here for elsewhere."""

from __future__ import annotations

from functools import cache
from importlib import import_module
import logging
from types import ModuleType

_LOG = logging.getLogger(__name__)


@cache
def optional_module(name: str) -> ModuleType | None:
    """Return a module, None where it is not installed or cannot be loaded.

    A package that was built for another NumPy fails in its own ways, not only with ImportError.

    Args:
        name: import name; docs/dependencies.md says what each is for.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition('.')[0]:
            _LOG.warning('%s is installed and cannot be loaded: %s; done without', name, error)
    except Exception as error:
        _LOG.warning('%s is installed and cannot be loaded: %s; done without', name, error)
    return None
