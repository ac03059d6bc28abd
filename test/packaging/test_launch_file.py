"""The launch file; executed only where the `launch` packages are installed."""

import ast

import pytest

from helpers.ros_process import ROOT

_FILE = ROOT / 'launch' / 'da3.launch.py'


def test_launch_file_declares_the_documented_arguments() -> None:
    tree = ast.parse(_FILE.read_text())
    table = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == '_ARGUMENTS'
    )

    names = {name for name, _, _ in table}
    assert {'params_file', 'namespace', 'use_sim_time', 'log_level', 'model', 'cameras'} <= names
    assert 'tuned_dds' in names
    assert all(text for _, _, text in table)


def test_launch_file_gives_a_description() -> None:
    sources = pytest.importorskip(
        'launch.launch_description_sources', reason='the launch packages are not on PyPI'
    )

    loaded = sources.get_launch_description_from_python_launch_file(str(_FILE))

    assert loaded.get_launch_arguments()
