"""Engines without real graphs, and a program that makes, reads and removes them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
import json
import os
from pathlib import Path
import random
import sys
import time

from da3_ros import __version__
from da3_ros.errors import CheckpointError
from da3_ros.inference.runtimes.engine_files import (
    SCRATCH_PREFIX,
    TOKENS_NAME,
    WEIGHTS_NAME,
    Engine,
    ImageSize,
    graph_name,
    is_engine,
    read_engine,
    stages_of,
    with_files,
    write_metadata,
)
from da3_ros.inference.runtimes.engine_store import EngineKey, EngineStore
from da3_ros.model.presets import PRESETS

SIZE = (42, 56)
KEY = EngineKey('da3-small', 'ab' * 32)
_SIZES = [(14 * n, 28) for n in range(1, 4)]
_KEYS = [replace(KEY, weights_sha256=text * 32) for text in ('ab', 'cd')]


def written(
    folder: Path, size: ImageSize = SIZE, key: EngineKey = KEY, pause_s: float = 0.0
) -> Engine:
    """Stand in for the exporter: every file says of which weights and of which size it is."""
    folder.mkdir(parents=True, exist_ok=True)
    if is_engine(folder):
        engine = read_engine(folder)
    else:
        config = PRESETS['da3-small'].any_view
        assert config is not None
        (folder / 'config.json').write_text(json.dumps({'model_name': key.model_name}))
        (folder / WEIGHTS_NAME).write_text(key.weights_sha256)
        (folder / TOKENS_NAME).write_bytes(b'tokens')
        engine = Engine(folder, config, 'fp32', key.weights_sha256, False, __version__)
        engine = with_files(engine, 'config.json', WEIGHTS_NAME, TOKENS_NAME)
    names = [graph_name(stage, size) for stage in stages_of(engine.config)]
    for name in names:
        time.sleep(pause_s)
        scratch = folder / f'{SCRATCH_PREFIX}{os.getpid()}'
        scratch.write_text(f'{name} of {key.weights_sha256}')
        scratch.replace(folder / name)
    engine = with_files(replace(engine, sizes=(*engine.sizes, size)), *names)
    write_metadata(engine)
    return engine


def assert_sound(engine: Engine, key: EngineKey, size: ImageSize) -> None:
    """Assert that what was found is what was asked for."""
    assert key.is_of(engine)
    assert size in engine.sizes
    for name in engine.files:
        if name.endswith('.onnx'):
            assert (engine.folder / name).read_text() == f'{name} of {key.weights_sha256}'


def use(root: Path, seed: int, rounds: int) -> None:
    """Make, read and remove engines in an order that the seed gives; others do so too."""
    chance = random.Random(seed)
    store = EngineStore(root, max_sizes=2)
    root.mkdir(parents=True, exist_ok=True)
    for _ in range(rounds):
        key, size = chance.choice(_KEYS), chance.choice(_SIZES)
        if chance.random() < 0.2:
            # Not while another one builds it.
            with suppress(CheckpointError):
                store.remove(root / key.folder_name)
            continue
        engine = store.build(key, size, partial(written, size=size, key=key, pause_s=0.001))
        assert key.is_of(engine)
        assert size in engine.sizes
        found = store.find(key, size)
        if found is not None:
            # Unless another one has removed it since.
            with suppress(FileNotFoundError):
                assert_sound(found, key, size)


if __name__ == '__main__':
    use(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
