"""Parameters of the node against their declarations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from da3_ros.errors import NodeError
from da3_ros.options import NodeOptions, option_specs, to_flat
from da3_ros.ros.node.params import OptionsHolder, declare_rig, undeclared

pytestmark = pytest.mark.ros


@pytest.fixture(scope='module', name='context')
def context_fixture() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture(name='make')
def make_fixture(context: Context) -> Iterator[Any]:
    nodes = []

    def make(**values: Any) -> Node:
        overrides = [Parameter(name.replace('__', '.'), value=v) for name, v in values.items()]
        node = Node(
            'test_node',
            context=context,
            parameter_overrides=overrides,
            start_parameter_services=False,
        )
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()


def test_defaults_are_those_of_the_declaration(make: Any) -> None:
    assert OptionsHolder(make()).current == NodeOptions()


def test_every_option_shows_its_help_bounds_and_whether_it_may_change(make: Any) -> None:
    node = make()
    OptionsHolder(node)
    for spec in option_specs():
        found = node.describe_parameter(spec.name)
        assert found.description == spec.help
        # Fixed ones can be set while the node is not configured, so ROS may not forbid it.
        assert found.read_only is (spec.name == 'autostart')
        is_fixed = 'read-only while the node is configured' in found.additional_constraints
        assert is_fixed is not (spec.dynamic or found.read_only)
        ranges = list(found.integer_range) + list(found.floating_point_range)
        bounds = [(r.from_value, r.to_value) for r in ranges]
        assert bounds == ([] if spec.minimum is None else [(spec.minimum, spec.maximum)])
        assert all(choice in found.additional_constraints for choice in spec.choices)


def test_values_given_at_start_arrive(make: Any) -> None:
    node = make(cameras=['left', 'right'], window=5, max_depth_m=7.5, publish_tf=False)
    values = to_flat(OptionsHolder(node).current)
    assert values['cameras'] == ('left', 'right')
    assert (values['window'], values['max_depth_m'], values['publish_tf']) == (5, 7.5, False)


@pytest.mark.parametrize(
    ('values', 'name'),
    [
        ({'window': 0}, 'window'),
        ({'window': 'three'}, 'window'),
        ({'max_depth_m': 1}, 'max_depth_m'),
        ({'max_depth_m': -1.0}, 'max_depth_m'),
        ({'depth_encoding': '8UC1'}, 'depth_encoding'),
        ({'cameras': 'front'}, 'cameras'),
        ({'cameras': ['front', 'front']}, 'cameras'),
        ({'cameras': ['no name']}, "cameras: 'no name'"),
        ({'cameras': ['front//left']}, "cameras: 'front//left'"),
        ({'cameras': ['front'], 'min_cameras': 2}, 'min_cameras'),
        ({'window': 2, 'stride': 3}, 'stride'),
        ({'min_depth_m': 5.0, 'max_depth_m': 5.0}, 'min_depth_m'),
        ({'depth_size': 'half'}, 'depth_size'),
    ],
)
def test_a_wrong_value_at_start_is_named(make: Any, values: dict[str, Any], name: str) -> None:
    holder = OptionsHolder(make(**values))
    with pytest.raises(NodeError, match=f'parameter {name}'):
        holder.checked()


def test_wrong_values_at_start_can_be_corrected_one_by_one(make: Any) -> None:
    node = make(window=0, stride='two', min_depth_m=5.0, max_depth_m=5.0)
    holder = OptionsHolder(node)
    for name, value in (('window', 4), ('stride', 2), ('max_depth_m', 8.0)):
        with pytest.raises(NodeError):
            holder.checked()
        wrong = node.set_parameters([Parameter(name, value=-1 if name != 'max_depth_m' else -1.0)])
        assert not wrong[0].successful
        assert node.set_parameters([Parameter(name, value=value)])[0].successful
    options = holder.checked()
    assert (options.stream.window, options.stream.stride) == (4, 2)
    assert (options.output.min_depth_m, options.output.max_depth_m) == (5.0, 8.0)
    assert holder.current is options


def test_a_default_may_be_confirmed_in_place_of_a_wrong_value(make: Any) -> None:
    node = make(window=0)
    holder = OptionsHolder(node)
    assert node.set_parameters([Parameter('window', value=3)])[0].successful
    assert holder.checked() == NodeOptions()


def test_before_configuring_everything_may_change_but_not_into_nonsense(make: Any) -> None:
    node = make()
    holder = OptionsHolder(node)
    assert node.set_parameters([Parameter('window', value=5)])[0].successful
    for name, value in (('stride', 6), ('cameras', ['a', 'a']), ('cameras', ['no name'])):
        result = node.set_parameters([Parameter(name, value=value)])[0]
        assert not result.successful
        assert name in result.reason
    changes = [Parameter('window', value=7), Parameter('stride', value=6)]
    assert node.set_parameters_atomically(changes).successful
    assert (holder.current.stream.window, holder.current.stream.stride) == (7, 6)
    assert not node.set_parameters([Parameter('autostart', value=False)])[0].successful


def test_a_change_is_taken_whole_or_not_at_all(make: Any) -> None:
    node = make()
    holder = OptionsHolder(node)
    before = holder.current
    good = Parameter('max_depth_m', value=3.0)
    bad = Parameter('voxel_size_m', value=-1.0)
    assert not node.set_parameters_atomically([good, bad]).successful
    assert holder.current is before
    assert node.get_parameter('max_depth_m').value == before.output.max_depth_m
    result = node.set_parameters([good])[0]
    assert result.successful
    assert holder.current.output.max_depth_m == 3.0
    assert before.output.max_depth_m == 100.0


def test_read_only_options_do_not_change(make: Any) -> None:
    node = make()
    holder = OptionsHolder(node)
    declare_rig(node, holder.current)
    holder.is_configured = True
    for fixed in (
        Parameter('window', value=4),
        Parameter('rig.camera.base_from_camera', value=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
    ):
        result = node.set_parameters([fixed])[0]
        assert not result.successful
        assert f'{fixed.name}: read-only; set it at start' in result.reason
        assert 'configure again' in result.reason
        both = node.set_parameters_atomically([Parameter('max_depth_m', value=3.0), fixed])
        assert not both.successful
    assert holder.current == NodeOptions()
    assert node.set_parameters([Parameter('max_depth_m', value=3.0)])[0].successful
    assert holder.current.output.max_depth_m == 3.0


def test_what_another_callback_rejects_is_not_taken(make: Any) -> None:
    node = make()
    holder = OptionsHolder(node)
    both = [Parameter('max_depth_m', value=3.0), Parameter('use_sim_time', value='yes')]
    assert not node.set_parameters_atomically(both).successful
    assert holder.current == NodeOptions()


@pytest.mark.parametrize('pose', [[1.0, 2.0, 3.0, 0.0, 0.0, 1.0, 0.0], [1, 2, 3, 0, 0, 1, 0]])
def test_the_rig_is_read_where_given(make: Any, pose: list[float]) -> None:
    node = make(
        cameras=['left', 'right', 'back'],
        rig__left__base_from_camera=pose,
        rig__right__base_from_camera=[],
    )
    rig = declare_rig(node, OptionsHolder(node).current)
    assert list(rig.base_from_camera) == ['left']
    half_turn = [[-1, 0, 0, 1], [0, -1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(rig.base_from_camera['left'], half_turn, atol=1e-12)


@pytest.mark.parametrize('pose', [[1.0, 2.0], [0.0] * 7, [float('nan')] * 7, 'left'])
def test_a_wrong_rig_is_named(make: Any, pose: Any) -> None:
    node = make(cameras=['left'], rig__left__base_from_camera=pose)
    with pytest.raises(NodeError, match=r'rig\.left\.base_from_camera: expected seven numbers'):
        declare_rig(node, OptionsHolder(node).current)


def test_names_that_are_no_parameters_are_found(make: Any) -> None:
    node = make()
    options = OptionsHolder(node).current
    declare_rig(node, options)
    given = ['window', 'windw', 'rig.camera.base_from_camera', 'rig.nose.base_from_camera']
    given += ['use_sim_time', 'qos_overrides./a.subscription.depth']
    assert undeclared(node, dict.fromkeys(given)) == ('rig.nose.base_from_camera', 'windw')


def test_the_default_model_stands_in_until_the_node_is_configured_anew(make: Any) -> None:
    node = make()
    holder = OptionsHolder(node)
    assert holder.current.estimator.model == ''
    holder.set_default_model('da3-base')
    assert holder.checked().estimator.model == holder.current.estimator.model == 'da3-base'
    # The parameter itself goes on to name none.
    assert node.get_parameter('model').value == ''
    holder.set_default_model('')
    assert holder.checked().estimator.model == ''
    named = OptionsHolder(make(model='truth'))
    named.set_default_model('da3-base')
    assert named.checked().estimator.model == 'truth'


class Heard:
    """A logger that keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, text: str) -> None:
        self.lines.append(text)


def test_another_name_of_an_option_is_taken_and_named(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, heard = make(model_dir='truth'), Heard()
    monkeypatch.setattr(node, 'get_logger', lambda: heard)
    holder = OptionsHolder(node)
    assert holder.checked().estimator.model == 'truth'
    assert heard.lines == ['parameter model_dir: another name of model']
    # The node has the option once, under its own name.
    assert node.get_parameter('model').value == 'truth'
    assert not node.has_parameter('model_dir')
    assert undeclared(node, {'model_dir': 'truth'}) == ()


def test_the_own_name_wins_over_another_one(make: Any) -> None:
    assert OptionsHolder(make(model='a', model_dir='b')).checked().estimator.model == 'a'


def test_a_wrong_value_under_another_name_is_named(make: Any) -> None:
    holder = OptionsHolder(make(model_dir=3))
    with pytest.raises(NodeError, match='parameter model_dir: model: expected str, got 3'):
        holder.checked()


@pytest.mark.parametrize('form', ['command line', 'file'])
@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('auto', 'auto'),
        ('true', True),
        ('false', False),
        ("'auto'", 'auto'),
        ("'true'", True),
        ("'False'", False),
    ],
)
@pytest.mark.parametrize('name', ['publish_tf', 'publish_map_tf'])
def test_true_false_and_auto_are_understood(
    context: Context, tmp_path: Path, form: str, text: str, value: bool | str, name: str
) -> None:
    file = tmp_path / 'parameters.yaml'
    file.write_text(f'/**:\n  ros__parameters:\n    {name}: {text}\n', encoding='utf-8')
    given = ['-p', f'{name}:={text}'] if form == 'command line' else ['--params-file', str(file)]
    node = Node('forms', context=context, cli_args=['--ros-args', *given])
    try:
        assert to_flat(OptionsHolder(node).checked())[name] == value
    finally:
        node.destroy_node()


def test_auto_is_the_default_and_may_be_replaced_both_ways(make: Any) -> None:
    node = make()
    holder = OptionsHolder(node)
    assert holder.current.output.publish_tf == 'auto'
    limits = node.describe_parameter('publish_tf').additional_constraints
    assert 'one of true, false, auto' in limits
    for value in (True, 'auto', False, 'auto'):
        assert node.set_parameters([Parameter('publish_tf', value=value)])[0].successful
        assert holder.checked().output.publish_tf == value
    for wrong in ('sometimes', 1, 1.0, ['auto']):
        result = node.set_parameters([Parameter('publish_tf', value=wrong)])[0]
        assert not result.successful
        assert 'publish_tf: expected one of true, false, auto' in result.reason


@pytest.mark.parametrize('value', ['sometimes', 1, 0.0])
def test_what_is_neither_true_false_nor_auto_is_named(make: Any, value: object) -> None:
    with pytest.raises(NodeError, match='publish_tf: expected one of true, false, auto'):
        OptionsHolder(make(publish_tf=value)).checked()
