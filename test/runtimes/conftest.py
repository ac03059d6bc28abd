"""Engines that the tests of runtimes read: exported once in a session, whatever workers it has."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.engine_files import Engine, read_engine
from da3_ros.model.config import (
    AnyViewConfig,
    BackboneConfig,
    CameraHeadConfig,
    PyramidConfig,
    SingleViewConfig,
)
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.single_view import SingleViewNetwork
from helpers.computing_threads import computing_threads
from helpers.shared_folder import shared_folder

SIZES = ((42, 70), (56, 42))
_HEAD = PyramidConfig(16, (8, 16, 24, 32))
# The fewest blocks that a network has: exporting takes time by their number.
ANY_VIEW = AnyViewConfig(
    'graph-any',
    BackboneConfig(64, 6, 2, 'mlp', (2, 3, 4, 5), 2),
    _HEAD,
    CameraHeadConfig(trunk_depth=1, num_heads=2),
)
SINGLE_VIEW = SingleViewConfig(
    'graph-single', BackboneConfig(64, 4, 2, 'swiglu', (0, 1, 2, 3), 4), _HEAD, 300.0
)


@pytest.fixture(scope='session')
def any_view() -> AnyViewNetwork:
    network = random_network(ANY_VIEW, 3)
    assert isinstance(network, AnyViewNetwork)
    return network


@pytest.fixture(scope='session')
def single_view() -> SingleViewNetwork:
    network = random_network(SINGLE_VIEW, 4)
    assert isinstance(network, SingleViewNetwork)
    return network


@pytest.fixture(scope='session')
def any_view_engine(any_view: AnyViewNetwork, engines: Callable[..., Engine]) -> Engine:
    return engines(any_view, SIZES)


@pytest.fixture(scope='session')
def single_view_engine(single_view: SingleViewNetwork, engines: Callable[..., Engine]) -> Engine:
    return engines(single_view, SIZES[:1])


@pytest.fixture(scope='session')
def engines(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Engine]:
    """Return what exports a network for some sizes, skipping where that is not possible."""
    for name in ('onnx', 'onnxscript'):
        pytest.importorskip(name, reason=f'{name} exports graphs')
    from da3_ros.inference.runtimes.graph_export import export_stages

    def export(
        network: AnyViewNetwork | SingleViewNetwork, sizes: tuple[tuple[int, int], ...]
    ) -> Engine:
        def make(folder: Path) -> None:
            for size in sizes:
                exported = export_stages(network, size, folder)
            assert read_engine(folder) == exported

        return read_engine(shared_folder(tmp_path_factory, f'engine_{network.config.name}', make))

    return export


@pytest.fixture(scope='package', autouse=True)
def threads() -> Iterator[None]:
    """Compute with the same number of threads on every machine."""
    with computing_threads():
        yield


@pytest.fixture(scope='package', autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what runtimes compile away from the cache of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('DA3_CACHE', str(tmp_path_factory.mktemp('cache')))
        yield
