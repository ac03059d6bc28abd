"""The graphs of the real presets give what the official code gave with the same weights."""

from collections.abc import Callable

import numpy as np
import pytest

from da3_ros.inference.runtimes.engine_files import Engine
from da3_ros.inference.runtimes.graph_runtime import GraphAnyView
from da3_ros.inference.runtimes.stages import InputCameras
from da3_ros.model.presets import PRESETS
from helpers.opened_engines import RUNTIMES, open_engine
from tools.parity.goldens import (
    load_golden,
    max_error_to_peak,
    max_relative_error,
    max_rotation_error_rad,
)
from tools.parity.synthetic_weights import synthetic_network

BOUND = 1e-4
CASES = ('da3-small__v4_saddle_balanced', 'da3-small__v4_middle', 'da3-small__posecond_v3')


@pytest.fixture(scope='module')
def engine(engines: Callable[..., Engine]) -> Engine:
    sizes = {(load_golden(name).meta['H'], load_golden(name).meta['W']) for name in CASES}
    return engines(synthetic_network(PRESETS['da3-small']), tuple(sorted(sizes)))


@pytest.mark.slow
@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('name', CASES)
def test_stored_cases(engine: Engine, runtime: str, name: str) -> None:
    golden = load_golden(name)
    network = open_engine(engine, runtime)
    assert isinstance(network, GraphAnyView)
    cameras = None
    if 'extrinsics_in' in golden:
        cameras = InputCameras(
            golden['extrinsics_in'].astype(np.float32), golden['intrinsics_in'].astype(np.float32)
        )
    fused = network.fuse(
        network.encode(golden['images_u8']),
        cameras,
        strategy=golden.meta['opts'].get('ref_view_strategy', 'saddle_balanced'),
        wanted=range(golden.meta['S']),
    )
    maps = network.decode(fused)
    assert maps.confidence is not None
    assert fused.extrinsics is not None
    assert fused.intrinsics is not None
    for field, values in (('depth', maps.depth), ('depth_conf', maps.confidence)):
        step = golden.stride(field)
        assert max_relative_error(values[None, :, ::step, ::step], golden[field]) < BOUND
    expected = golden['extrinsics']
    found = fused.extrinsics[None]
    assert max_rotation_error_rad(found[..., :3], expected[..., :3]) < BOUND
    assert max_error_to_peak(found[..., 3], expected[..., 3]) < BOUND
    assert max_error_to_peak(fused.intrinsics[None], golden['intrinsics']) < BOUND
