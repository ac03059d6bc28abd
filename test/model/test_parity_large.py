"""The large networks agree with the upstream implementation, case by case.

The single-view networks are tested always. The others need minutes or up to 7 GB of memory for
their synthetic weights and are left out unless asked for: `pytest -m slow`.
"""

from collections.abc import Callable

import pytest

from da3_ros.model.build import Network
from da3_ros.model.nested import NestedNetwork
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.presets import PRESETS
from da3_ros.model.single_view import SingleViewNetwork
from tools.parity.cases import any_view_checks, nested_checks, run_forward, single_view_checks
from tools.parity.checks import require
from tools.parity.goldens import load_golden
from tools.parity.synthetic_weights import synthetic_network

Networks = Callable[[str], Network]


@pytest.fixture(scope='module')
def networks() -> Networks:
    """Return what builds networks; it keeps one of them at a time."""
    kept: dict[str, Network] = {}

    def build(preset: str) -> Network:
        # Both single-view networks have the same synthetic weights: names and shapes are equal.
        preset = 'da3mono-large' if preset == 'da3metric-large' else preset
        if preset not in kept:
            kept.clear()
            kept[preset] = synthetic_network(PRESETS[preset])
        return kept[preset]

    return build


@pytest.mark.parametrize(
    'name',
    ['da3mono-large__v1', 'da3mono-large__v2', 'da3metric-large__v1', 'da3metric-large__v2'],
)
def test_single_view_networks(name: str, networks: Networks) -> None:
    golden = load_golden(name)
    network = networks(golden.meta['preset'])
    assert isinstance(network, SingleViewNetwork)
    require(single_view_checks(network, golden, strict=True))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    'name',
    [
        'da3-large__v2',
        'da3-large__posecond_feat_v3',
        'da3-giant__v2_gs',
        'da3-giant__posecond_gs_v3',
    ],
)
def test_any_view_networks(name: str, networks: Networks) -> None:
    golden = load_golden(name)
    network = networks(golden.meta['preset'])
    assert isinstance(network, AnyViewNetwork)
    alt_start = network.config.backbone.alt_start
    require(any_view_checks(golden, run_forward(network, golden), alt_start, strict=True))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    'name', ['da3nested-giant-large__v3', 'da3nested-giant-large__posecond_gs_v3']
)
def test_nested_network(name: str, networks: Networks) -> None:
    golden = load_golden(name)
    network = networks('da3nested-giant-large')
    assert isinstance(network, NestedNetwork)
    require(nested_checks(network, golden, strict=True))
