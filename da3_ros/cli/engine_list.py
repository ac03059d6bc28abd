"""The engines in the cache, for `da3 compile --list`, `--remove` and `da3 doctor`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from da3_ros.cli.engine_sizes import in_pixels
from da3_ros.errors import Da3Error
from da3_ros.foreign import plain_path

_MIB = 2**20


def describe_engines(model: str | None = None) -> list[dict[str, Any]]:
    """Return what there is to know of every engine in the cache, for JSON.

    Args:
        model: name of a network, or a checkpoint; None for all.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    from da3_ros.inference.runtimes.engine_store import EngineStore

    store = EngineStore()
    found = [_described(folder, store.hashes.of) for folder in store.folders()]
    if not model:
        return found
    name = _name_of(model)
    return [row for row in found if row['model'] == name]


def remove_engines(model: str | None = None) -> list[dict[str, Any]]:
    """Remove engines from the cache and return what they were; arguments as above.

    Raises:
        CheckpointError: there is no such checkpoint, or another process builds its engine now.
        OSError: one cannot be removed.
    """
    from da3_ros.inference.runtimes.compiled_forms import remove_other_forms
    from da3_ros.inference.runtimes.engine_store import EngineStore

    store, found = EngineStore(), describe_engines(model)
    for row in found:
        store.remove(Path(row['folder']))
    if not model:
        store.remove_leftovers()
        remove_other_forms()
    return found


def show_engines(rows: list[dict[str, Any]], *, removed: bool) -> None:
    """Print engines, or say that there are none."""
    from da3_ros.inference.runtimes.engine_store import engines_root

    if not rows:
        print(f'no engines in {plain_path(engines_root())}')
    for row in rows:
        sizes = ', '.join(row['sizes']) or row['problem']
        what = 'removed ' if removed else ''
        print(f'{what}{row["model"]} {row["precision"]}, {row["bytes"] / _MIB:.0f} MiB: {sizes}')
        print(f'    {plain_path(Path(row["folder"]))}')


def _described(folder: Path, hash_of: Callable[[Path], str]) -> dict[str, Any]:
    from da3_ros.inference.runtimes.engine_files import read_engine
    from da3_ros.inference.runtimes.engine_store import bytes_in

    row: dict[str, Any] = {
        'folder': str(folder),
        # What cannot be read has its name only, see `EngineKey.folder_name`.
        'model': folder.name.rsplit('-', 4)[0],
        'precision': '',
        'sizes': [],
        'bytes': bytes_in(folder),
        'problem': '',
    }
    try:
        engine = read_engine(folder, hash_of=hash_of)
    except (Da3Error, OSError) as error:
        return {**row, 'problem': f'unusable ({error})'}
    return {
        **row,
        'model': engine.config.name,
        'precision': engine.precision,
        'sizes': [in_pixels(size) for size in engine.sizes],
        'random_weights': engine.is_random,
        'package': engine.package,
    }


def _name_of(model: str) -> str:
    """Return the name of a network."""
    from da3_ros.cli.wanted_network import config_of

    return config_of(model).name
