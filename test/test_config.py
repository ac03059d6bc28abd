"""Options: declared once, checked whole, never half applied."""

from dataclasses import replace

import pytest

from da3_ros.errors import ConfigError
from da3_ros.options import (
    NodeOptions,
    OptionSpec,
    OptionValue,
    StreamOptions,
    check_value,
    from_flat,
    option_specs,
    to_flat,
)

SPECS = option_specs()


def test_names_are_unique_and_every_option_is_explained() -> None:
    names = [spec.name for spec in SPECS]
    assert len(set(names)) == len(names)
    assert all(spec.help.endswith('.') and len(spec.help) > 20 for spec in SPECS)


def test_flat_values_and_options_are_the_same_thing() -> None:
    changed = from_flat({'window': 5, 'cameras': ('a', 'b'), 'model': 'da3-base'})
    assert changed.stream.window == 5
    assert changed.estimator.model == 'da3-base'
    assert from_flat(to_flat(changed)) == changed
    assert from_flat({}) == NodeOptions()


@pytest.mark.parametrize('spec', SPECS, ids=lambda s: s.name)
def test_defaults_satisfy_their_own_bounds(spec: OptionSpec) -> None:
    check_value(spec, spec.default)


@pytest.mark.parametrize('spec', [s for s in SPECS if s.minimum is not None], ids=lambda s: s.name)
def test_values_outside_the_bounds_are_refused_with_the_bounds(spec: OptionSpec) -> None:
    assert spec.minimum is not None
    assert spec.maximum is not None
    kind = int if isinstance(spec.default, int) else float
    for value in (kind(spec.minimum - 1), kind(spec.maximum * 2 + 1)):
        with pytest.raises(ConfigError, match=f'{spec.name}: expected .* got'):
            from_flat({spec.name: value})


@pytest.mark.parametrize('spec', [s for s in SPECS if s.choices], ids=lambda s: s.name)
def test_values_that_are_no_choice_are_refused_with_the_choices(spec: OptionSpec) -> None:
    with pytest.raises(ConfigError, match=spec.choices[0]):
        from_flat({spec.name: 'no such choice'})


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'windw': 3}, 'unknown options: windw'),
        ({'window': '3'}, 'window: expected int'),
        ({'window': True}, 'window: expected int'),
        ({'publish_tf': 1}, 'publish_tf: expected one of true, false, auto, got 1'),
        ({'max_depth_m': float('nan')}, 'max_depth_m'),
        ({'cameras': ()}, 'cameras: expected distinct names'),
        ({'cameras': ('a', 'a')}, 'cameras: expected distinct names'),
        ({'cameras': ('a', '')}, 'cameras: expected distinct names'),
        ({'min_cameras': 2}, 'min_cameras: 2 is more than the 1 cameras'),
        ({'window': 2, 'stride': 3}, 'stride: 3 is more than window = 2'),
        ({'process_res': 13}, 'process_res: expected 0 or at least 14, got 13'),
        (
            {'prior_frame': 'odom', 'publish_tf': True},
            'prior_frame: this node itself .*set publish_tf to auto or false',
        ),
        ({'prior_frame': '/odom', 'publish_tf': True}, 'prior_frame: this node itself'),
        ({'prior_frame': 'map', 'publish_map_tf': True}, 'set publish_map_tf to auto or false'),
        ({'prior_frame': 'base_link'}, 'prior_frame: .* moves with the robot'),
        ({'scale_source': 'lidar'}, 'scale_source: expected one of auto, odometry'),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(
    values: dict[str, OptionValue], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        from_flat(values)


def test_whole_numbers_are_floats_where_floats_are_wanted() -> None:
    assert from_flat({'max_depth_m': 5}).output.max_depth_m == 5


def test_a_changed_group_is_checked_when_options_are_made() -> None:
    with pytest.raises(ConfigError, match='stride'):
        replace(NodeOptions(), stream=StreamOptions(window=1, stride=2))


def test_an_odometry_that_another_node_publishes_may_be_followed() -> None:
    allowed: list[dict[str, OptionValue]] = [
        {'prior_frame': 'odom'},
        {'prior_frame': 'odom', 'publish_tf': False},
        {'prior_frame': 'odom', 'odom_frame': 'da3_odom'},
        {'prior_frame': 'map', 'publish_map_tf': True, 'publish_tf': False},
        {'prior_frame': 'map', 'publish_map_tf': 'auto'},
    ]
    for values in allowed:
        assert from_flat(values).output.prior_frame == values['prior_frame']
