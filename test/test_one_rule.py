"""Rules that are read from the code: how networks are asked, and where pixel rules meet."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import pytest

from da3_ros.model.build import build_network
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.presets import NETWORKS, preset

PACKAGE = Path(__file__).resolve().parents[1] / 'da3_ros'

PIXEL_RULE = {
    'inference/pixel_rule.py': 'the network and the public API',
    'export/colmap.py': 'COLMAP, written',
    'export/npz.py': 'results.npz, written',
    'sinks/stream_frames.py': "DA3-Streaming's files, written",
    'sources/colmap_cameras.py': 'COLMAP, read',
    'sources/results.py': 'results.npz, read',
}
"""Files that pass between the centre of the first pixel at (0, 0) and at (0.5, 0.5)."""

THROUGH_PIXEL_RULE = {
    'cli/colmap_source.py': 'cameras of COLMAP for the public API',
    'inference/engine.py': 'calibrations for the network, and its cameras',
    'inference/view_predictions.py': 'cameras that the network predicts of a window',
    'inference/single_views.py': 'calibrations of views for networks that see each alone',
    'inference/given_cameras.py': 'cameras that the public API was given',
    'inference/prediction.py': 'cameras that it returns',
    'inference/prediction_export.py': 'cameras of a video, by its rules',
    'inference/scene_gaussians.py': 'cameras of a scene for the public API',
    'inference/splat_gsplat.py': 'gsplat has the rule of the network',
}
"""Who uses `inference.pixel_rule`."""

MAY_LACK = {
    ('images/decode.py', 'is_animated'): 'plugins of Pillow for formats of one picture lack it',
    ('model/arithmetic.py', '_is_avx512_bf16_supported'): 'a private name of torch',
    ('model/tiled_attention.py', '_is_amx_tile_supported'): 'a private name of torch',
    ('ros/node/node.py', '_parameter_overrides'): 'a private name of rclpy',
}
"""Names of other libraries that are looked for with a default."""

KINDS = {
    'AnyViewConfig', 'SingleViewConfig', 'NestedConfig',
    'AnyViewNetwork', 'SingleViewNetwork', 'NestedNetwork',
}  # fmt: skip
LONGEST = 60
"""Lines of a function without its docstring."""


def parsed(*folders: str) -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(PACKAGE.rglob('*.py')):
        place = path.relative_to(PACKAGE).as_posix()
        if not folders or place.startswith(tuple(f'{folder}/' for folder in folders)):
            yield place, ast.parse(path.read_text(encoding='utf-8'))


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
            if name in names:
                yield node


def test_two_pixel_rules_meet_where_this_file_says() -> None:
    found = {
        place
        for place, tree in parsed()
        if any(calls(tree, 'from_corner_origin', 'to_corner_origin'))
    }
    assert found == set(PIXEL_RULE)
    users = {
        place
        for place, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == 'da3_ros.inference.pixel_rule'
    }
    assert users == set(THROUGH_PIXEL_RULE)


def test_nobody_asks_an_object_for_what_its_type_does_not_name() -> None:
    found = set()
    for place, tree in parsed():
        for call in calls(tree, 'getattr'):
            if len(call.args) == 3:
                assert isinstance(call.args[1], ast.Constant), f'{place}: {ast.unparse(call)}'
                found.add((place, call.args[1].value))
    assert found == set(MAY_LACK)


def test_nobody_asks_for_the_kind_of_a_network() -> None:
    wrong = [
        f'{place}:{call.lineno}'
        for place, tree in parsed()
        for call in calls(tree, 'isinstance')
        if KINDS & {n.id for n in ast.walk(call.args[1]) if isinstance(n, ast.Name)}
    ]
    assert not wrong, wrong


@pytest.mark.parametrize('name', NETWORKS)
def test_all_networks_are_asked_alike(name: str) -> None:
    network = build_network(preset(name))
    assert signature(type(network).forward).parameters.keys() == (
        signature(AnyViewNetwork.forward).parameters.keys()
    )
    config = network.config
    for part, described in (
        (network.any_view, config.any_view),
        (network.single_view, config.single_view),
    ):
        assert (None if part is None else part.config) == described


def test_functions_around_the_network_are_short() -> None:
    long = []
    for place, tree in parsed('model', 'inference'):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                if lines > LONGEST:
                    long.append(f'{place} {node.name}: {lines} lines')
    assert not long, long
