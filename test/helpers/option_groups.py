"""Every options dataclass of the table, found in the modules of da3_ros.options."""

from dataclasses import is_dataclass
from importlib import import_module
from pkgutil import iter_modules

import da3_ros.options
from da3_ros.options.table import Entrance, OptionSpec, specs_of


def _groups() -> tuple[type, ...]:
    names = [f'da3_ros.options.{m.name}' for m in iter_modules(da3_ros.options.__path__)]
    kinds = [kind for name in names for kind in vars(import_module(name)).values()]
    return tuple(
        dict.fromkeys(k for k in kinds if isinstance(k, type) and is_dataclass(k) and specs_of(k))
    )


GROUPS = _groups()


def entries(entrance: Entrance | None = None) -> tuple[OptionSpec, ...]:
    """Return the entries of the whole table that an entrance has; all of them when None."""
    return tuple(spec for group in GROUPS for spec in specs_of(group, entrance))
