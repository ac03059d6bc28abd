"""Clouds of a recording as one file: one world, one unit, and what was left out is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from da3_ros.sinks.bag import BagWriter
from da3_ros.sinks.definitions import shared_definitions
from helpers.cli import invoke

REPORT, CLOUD = 'da3_ros/msg/WindowReport', 'sensor_msgs/msg/PointCloud2'


def default(kind: str, **given: Any) -> Any:
    """Return a message with zeros, empty texts and lists, but what is given."""
    store = shared_definitions().typestore
    _, fields = store.fielddefs[kind]
    values: dict[str, Any] = {}
    for name, (what, details) in fields:
        if name in given:
            values[name] = given[name]
        elif what.name == 'NAME':
            values[name] = default(str(details))
        elif what.name == 'BASE':
            values[name] = '' if details[0] == 'string' else 0
        else:
            values[name] = []
    return store.types[kind](**values)


def header(index: int, frame: str) -> Any:
    stamp = default('builtin_interfaces/msg/Time', sec=100 + index)
    return default('std_msgs/msg/Header', stamp=stamp, frame_id=frame)


def cloud(index: int, xyz: np.ndarray, frame: str = 'odom') -> Any:
    points = np.zeros(len(xyz), [('xyz', '<f4', 3), ('rgb', '<u4'), ('confidence', '<f4')])
    points['xyz'], points['rgb'], points['confidence'] = xyz, 0x102030, 2.0
    offsets = {'x': 0, 'y': 4, 'z': 8, 'rgb': 12, 'confidence': 16}
    fields = [
        default('sensor_msgs/msg/PointField', name=n, offset=o, datatype=7, count=1)
        for n, o in offsets.items()
    ]
    return default(
        CLOUD,
        header=header(index, frame),
        height=1,
        width=len(xyz),
        fields=fields,
        point_step=20,
        row_step=20 * len(xyz),
        data=points.view(np.uint8).reshape(-1),
        is_bigendian=False,
        is_dense=True,
    )


def write_bag(path: Path, messages: list[tuple[str, str, int, Any]]) -> None:
    shared_definitions().require(REPORT)
    store = shared_definitions().typestore
    with BagWriter(path) as bag:
        for topic, kind, index, message in messages:
            bag.add_topic(topic, kind)
            bag.write(topic, index * 1_000_000_000, store.serialize_cdr(message, kind))


def report(index: int, *, is_metric: bool, method: str) -> tuple[str, str, int, Any]:
    shared_definitions().require(REPORT)
    fields = {'is_metric': is_metric, 'alignment_method': method}
    return '/window', REPORT, index, default(REPORT, header=header(index, 'odom'), **fields)


def test_only_clouds_of_the_longest_world_in_metres_are_fused(tmp_path: Path) -> None:
    messages = []
    # Four windows without metres, then three in metres, then one of another world in metres.
    for index, (is_metric, method) in enumerate(
        [(False, 'first'), *[(False, 'shared_views')] * 3]
        + [(True, 'shared_views')] * 3
        + [(True, 'first')]
    ):
        messages.append(report(index, is_metric=is_metric, method=method))
        xyz = np.array([[index, 0.0, 0.0], [10.0, 0.0, np.nan]])
        messages.append(('/points', CLOUD, index, cloud(index, xyz)))
    write_bag(tmp_path / 'in.mcap', messages)
    result = invoke('cloud', str(tmp_path / 'in.mcap'), str(tmp_path / 'o.ply'), '--voxel', '0.5')
    assert result.exit_code == 0, result.output
    assert '5 clouds were left out' in result.output
    assert 'metres' in result.output
    mesh: Any = trimesh.load(tmp_path / 'o.ply')
    np.testing.assert_allclose(sorted(mesh.vertices[:, 0]), [4.0, 5.0, 6.0])
    np.testing.assert_array_equal(mesh.colors[0][:3], [0x10, 0x20, 0x30])
    assert b'comment metres' in (tmp_path / 'o.ply').read_bytes()[:300]


def test_without_reports_the_unit_is_called_unknown(tmp_path: Path) -> None:
    write_bag(tmp_path / 'in.mcap', [('/points', CLOUD, 0, cloud(0, np.ones((2, 3))))])
    result = invoke('cloud', str(tmp_path / 'in.mcap'), str(tmp_path / 'o.ply'))
    assert result.exit_code == 0, result.output
    assert 'their unit is unknown' in result.output
    assert 'wrote 1 points of 1 clouds' in result.output


@pytest.mark.parametrize(
    ('messages', 'reason'),
    [
        ([], 'expected a topic of PointCloud2'),
        (
            [('/a/points', 'odom'), ('/b/points', 'odom')],
            'expected /points or one topic of clouds, it has /a/points, /b/points',
        ),
        ([('/a/points', 'a_optical_frame')], 'in the frame of a camera'),
        ([('/points', 'odom'), ('/points', 'map')], "got 'map' after 'odom'"),
    ],
)
def test_what_cannot_be_one_cloud_is_refused(
    tmp_path: Path, messages: list[tuple[str, str]], reason: str
) -> None:
    found = [
        (topic, CLOUD, i, cloud(i, np.ones((1, 3)), frame))
        for i, (topic, frame) in enumerate(messages)
    ]
    write_bag(tmp_path / 'in.mcap', found or [report(0, is_metric=True, method='first')])
    result = invoke('cloud', str(tmp_path / 'in.mcap'), str(tmp_path / 'o.ply'))
    assert result.exit_code == 1
    assert reason in str(result.exception)
    assert not (tmp_path / 'o.ply').exists()
