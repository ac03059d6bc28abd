"""Trajectories in text: what is read of them, by other libraries and by hand."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import SourceError
from da3_ros.export.kitti import write_kitti_poses, write_times
from da3_ros.export.tum import stamp_text, write_poses
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.sources.text_rows import stamp_of_nanoseconds, stamp_of_seconds
from da3_ros.sources.trajectory_files import (
    TrajectoryFile,
    read_euroc,
    read_kitti,
    read_times,
    read_trajectory,
    read_tum,
)

START_NS = 1_700_000_000_123_456_789


def some_poses(count: int = 20) -> list[StampedPose]:
    rng = np.random.default_rng(5)
    rotations = Rotation.random(count, random_state=7).as_matrix()
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = rotations
    poses[:, :3, 3] = rng.normal(scale=30, size=(count, 3))
    steps = rng.integers(1, 10**9, count).cumsum()
    return [
        StampedPose(START_NS + int(step), pose) for step, pose in zip(steps, poses, strict=True)
    ]


def stamps_of(file: TrajectoryFile) -> list[int]:
    return [pose.stamp_ns for pose in file.poses]


def poses_of(file: TrajectoryFile) -> FloatArray:
    return np.array([pose.world_from_base for pose in file.poses])


def codes(file: TrajectoryFile) -> list[str]:
    return [note.code for note in file.notes]


def text_file(folder: Path, text: str | bytes, name: str = 'a.txt') -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Stamps


@pytest.mark.parametrize(
    'text',
    [
        '1305031102.175304', '1305031102.1753', '1700000000.123456789', '0', '-0.5', '1e3',
        '1.3050311021753e9', '+2.5', '0.0000000004', '1700000000.1234567891', '9223372036.8',
        '00012.5', '-1700000000.000000001', '.5', '5.',
    ],
)  # fmt: skip
def test_decimal_seconds_become_exact_nanoseconds(text: str) -> None:
    exact = Fraction(Decimal(text)) * 10**9
    assert abs(stamp_of_seconds(text) - exact) <= Fraction(1, 2)
    if exact.denominator == 1:
        assert stamp_of_seconds(text) == exact


@pytest.mark.parametrize(
    'text',
    [
        'nan',
        'inf',
        'x',
        '',
        '1e999999999',
        '1e30',
        '٣',
        '1_0',
        '0x1',
        '9223372037',
        '9999999999.5',
    ],
)
def test_what_is_no_stamp_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='expected a stamp'):
        stamp_of_seconds(text)


def test_nanoseconds_of_any_writing_are_whole() -> None:
    assert stamp_of_nanoseconds('1403636580838555648') == 1403636580838555648
    assert stamp_of_nanoseconds('1403636580838555648.000000') == 1403636580838555648
    assert stamp_of_nanoseconds('1e-999999999') == 0


# Round trips


def test_what_is_written_as_tum_is_read_exactly(tmp_path: Path) -> None:
    poses = some_poses()
    write_poses(tmp_path / 'a.txt', poses, 'of a test', 'with a comment')
    file = read_trajectory(tmp_path / 'a.txt')
    assert file.kind == 'tum'
    assert file.is_stamped
    assert file.notes == ()
    assert stamps_of(file) == [pose.stamp_ns for pose in poses]
    truth = np.array([pose.world_from_base for pose in poses])
    np.testing.assert_allclose(poses_of(file), truth, rtol=1e-11, atol=1e-11)
    write_poses(tmp_path / 'b.txt', file.poses, 'of a test', 'with a comment')
    again = read_tum(tmp_path / 'b.txt')
    np.testing.assert_allclose(poses_of(again), poses_of(file), rtol=1e-11, atol=1e-11)


def test_what_is_written_as_kitti_is_read_exactly(tmp_path: Path) -> None:
    poses = some_poses()
    assert write_kitti_poses(tmp_path / '00.txt', poses) == len(poses)
    write_times(tmp_path / 'times.txt', [pose.stamp_ns for pose in poses])
    np.testing.assert_allclose(
        np.loadtxt(tmp_path / '00.txt').reshape(-1, 3, 4),
        [pose.world_from_base[:3] for pose in poses],
        rtol=1e-11,
        atol=1e-11,
    )
    file = read_trajectory(tmp_path / '00.txt')
    assert file.kind == 'kitti'
    assert file.is_stamped
    assert stamps_of(file) == [pose.stamp_ns for pose in poses]
    truth = np.array([pose.world_from_base for pose in poses])
    np.testing.assert_allclose(poses_of(file), truth, rtol=1e-11, atol=1e-10)
    assert read_times(tmp_path / 'times.txt') == [pose.stamp_ns for pose in poses]


# KITTI


def test_kitti_without_stamps_gets_places_for_stamps_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / '07.txt'
    write_kitti_poses(path, some_poses(4))
    file = read_trajectory(path)
    assert not file.is_stamped
    assert stamps_of(file) == [0, 10**9, 2 * 10**9, 3 * 10**9]
    assert codes(file) == ['trajectory_unstamped']
    sequence = tmp_path / 'dataset' / 'sequences' / '07'
    sequence.mkdir(parents=True)
    (sequence / 'times.txt').write_text('0.0\n0.103736\n0.2\n0.3\n')
    (tmp_path / 'dataset' / 'poses').mkdir()
    beside = path.rename(tmp_path / 'dataset' / 'poses' / '07.txt')
    assert stamps_of(read_trajectory(beside))[1] == 103_736_000
    other = text_file(tmp_path, '1\n2\n3\n4\n', 'mine.txt')
    assert stamps_of(read_trajectory(beside, other)) == [10**9 * n for n in (1, 2, 3, 4)]


def test_a_pose_of_kitti_that_is_none_leaves_the_stamps_of_the_others(tmp_path: Path) -> None:
    good = '1 0 0 {} 0 1 0 0 0 0 1 0'
    lines = [
        good.format(0), good.format('nan'), good.format(2), good.format('\0'), good.format(4),
        '2 0 0 5 0 1 0 0 0 0 1 0', good.format(6), '-1 0 0 7 0 1 0 0 0 0 1 0', good.format(8),
    ]  # fmt: skip
    path = text_file(tmp_path, '\n'.join(lines))
    file = read_kitti(path)
    assert [pose.world_from_base[0, 3] for pose in file.poses] == [0, 2, 4, 6, 8]
    assert stamps_of(file) == [10**9 * n for n in (0, 2, 4, 6, 8)]
    (note,) = [note for note in file.notes if note.code == 'trajectory_lines_left_out']
    assert note.numbers == {'lines': 4}
    assert 'line 4: expected UTF-8 text' in note.text
    with pytest.raises(SourceError, match='as many stamps as poses, got 3 stamps for 9 poses'):
        read_kitti(path, [1, 2, 3])


def test_the_sixteen_numbers_of_da3_streaming_are_read(tmp_path: Path) -> None:
    (pose,) = some_poses(1)
    lines = ' '.join(map(str, pose.world_from_base.ravel().tolist()))
    file = read_trajectory(text_file(tmp_path, f'{lines}\n{lines}\n'))
    assert file.kind == 'kitti'
    np.testing.assert_allclose(poses_of(file)[1], pose.world_from_base)
    bad = lines.rsplit(' ', 1)[0] + ' 2'
    with pytest.raises(SourceError, match='expected the last row 0 0 0 1'):
        read_trajectory(text_file(tmp_path, f'{bad}\n'))


def test_a_times_file_with_a_bad_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.txt: line 2: expected a stamp, got 'x'"):
        read_times(text_file(tmp_path, '1.0\nx\n'))
    with pytest.raises(SourceError, match='line 2: expected UTF-8 text'):
        read_times(text_file(tmp_path, b'1.0\n\xff\xfe\n'))


# TUM


@pytest.mark.parametrize('separator', [' ', ',', '\t', ', ', '   ', ';'])
@pytest.mark.parametrize('end', ['\n', '\r\n'])
@pytest.mark.parametrize('begin', ['', '\ufeff', '# a comment\n\n', 'timestamp,x,y,z,a,b,c,d\n'])
def test_tum_of_every_separator(separator: str, end: str, begin: str, tmp_path: Path) -> None:
    values = ['1305031102.1758', '1.5', '-2', '3e-1', '0', '0', '0.6', '0.8']
    text = begin.replace('\n', end) + separator.join(values) + end
    file = read_trajectory(text_file(tmp_path, text))
    assert file.kind == 'tum'
    assert stamps_of(file) == [1305031102_175800000]
    expected = np.eye(4)
    expected[:3, :3] = Rotation.from_quat([0, 0, 0.6, 0.8]).as_matrix()
    expected[:3, 3] = (1.5, -2, 0.3)
    np.testing.assert_allclose(poses_of(file)[0], expected, atol=1e-15)
    assert file.notes == ()


def test_quaternions_of_any_length_are_taken_and_said(tmp_path: Path) -> None:
    text = '1 0 0 0 0 0 0 1\n2 0 0 0 0 0 3 4\n3 0 0 0 0.0001 0 0.6 0.8\n4 0 0 0 0 0 0 0\n'
    file = read_tum(text_file(tmp_path, text))
    expected = Rotation.from_quat([0, 0, 3, 4]).as_matrix()
    np.testing.assert_allclose(poses_of(file)[1, :3, :3], expected, atol=1e-15)
    assert codes(file) == ['trajectory_quaternions', 'trajectory_lines_left_out']
    assert [note.numbers for note in file.notes] == [{'quaternions': 1}, {'lines': 1}]
    assert 'line 4: expected an orientation, the quaternion is zero' in file.notes[1].text


def test_stamps_out_of_order_and_twice_are_put_in_order_and_said(tmp_path: Path) -> None:
    text = ''.join(f'{stamp} {place} 0 0 0 0 0 1\n' for place, stamp in enumerate([3, 1, 2, 1, 4]))
    file = read_tum(text_file(tmp_path, text))
    assert stamps_of(file) == [10**9 * n for n in (1, 2, 3, 4)]
    assert [pose.world_from_base[0, 3] for pose in file.poses] == [1, 2, 0, 4]
    assert codes(file) == ['trajectory_unordered', 'trajectory_doubled']
    assert [note.numbers for note in file.notes] == [{'times': 2}, {'poses': 1}]


def test_orb_slam3_writes_nanoseconds_in_the_layout_of_tum(tmp_path: Path) -> None:
    text = '1403636580838555648.000000 1 2 3 0 0 0 1\n'
    file = read_trajectory(text_file(tmp_path, text))
    assert file.kind == 'tum'
    assert stamps_of(file) == [1403636580838555648]
    assert codes(file) == ['trajectory_nanoseconds']


def test_columns_that_are_named_have_the_order_of_their_names(tmp_path: Path) -> None:
    """A table of nanoseconds with commas need not be EuRoC's, nor one of seconds TUM's."""
    expected = Rotation.from_quat([0.1, 0.2, 0.3, 0.9]).as_matrix()
    for line in (
        '#timestamp,tx,ty,tz,qx,qy,qz,qw\n1403636580838555648,1,2,3,0.1,0.2,0.3,0.9\n',
        'time,x,y,z,orientation.x,orientation.y,orientation.z,orientation.w\n'
        '1403636580838555648,1,2,3,0.1,0.2,0.3,0.9\n',
        '# t x y z q_w q_x q_y q_z\n1403636580 1 2 3 0.9 0.1 0.2 0.3\n',
    ):
        file = read_trajectory(text_file(tmp_path, line))
        np.testing.assert_allclose(poses_of(file)[0, :3, :3], expected, atol=1e-12)
        assert any('as its columns are named' in note.text for note in file.notes)
    unnamed = '1403636580838555648,1,2,3,0.9,0.1,0.2,0.3\n'
    file = read_trajectory(text_file(tmp_path, unnamed))
    np.testing.assert_allclose(poses_of(file)[0, :3, :3], expected, atol=1e-12)
    assert any('taken as w x y z' in note.text for note in file.notes)


def test_seconds_among_nanoseconds_are_left_out(tmp_path: Path) -> None:
    poses = ' 0 0 0 0 0 0 1\n'
    stamps = ('1700000000000000000', '1700000000.1', '1700000000200000000')
    file = read_tum(text_file(tmp_path, ''.join(stamp + poses for stamp in stamps)))
    assert stamps_of(file) == [int(stamps[0]), int(stamps[2])]
    assert codes(file) == ['trajectory_nanoseconds', 'trajectory_lines_left_out']


def test_what_we_write_is_read_with_its_stamps_and_its_unit(tmp_path: Path) -> None:
    poses = some_poses()
    write_kitti_poses(tmp_path / 'base.txt', poses)
    write_times(tmp_path / 'base_times.txt', [pose.stamp_ns for pose in poses])
    file = read_trajectory(tmp_path / 'base.txt')
    assert file.is_stamped
    assert stamps_of(file) == [pose.stamp_ns for pose in poses]
    for what, expected in (('base, metres', []), ('base, unit unknown', ['unit_unknown'])):
        write_poses(tmp_path / 'a.tum', poses, what)
        assert codes(read_tum(tmp_path / 'a.tum')) == expected


# EuRoC


@pytest.mark.parametrize(
    'header', ['#timestamp, p_RS_R_x [m], q_RS_w []\n', 'timestamp,p_x\n', '']
)
def test_euroc_has_nanoseconds_and_w_first(header: str, tmp_path: Path) -> None:
    line = '1403636580838555648,4.688319,-1.786938,0.783338,0.534108,-0.153029,-0.827383,-0.082152'
    text = f'{header}{line},-0.027876,0.033207,0.800006\n{line.replace("648,", "649,", 1)}\n'
    file = read_trajectory(text_file(tmp_path, text, 'data.csv'))
    assert file.kind == 'euroc'
    assert stamps_of(file) == [1403636580838555648, 1403636580838555649]
    rotation = Rotation.from_quat([-0.153029, -0.827383, -0.082152, 0.534108]).as_matrix()
    np.testing.assert_allclose(poses_of(file)[0, :3, :3], rotation, atol=1e-12)
    np.testing.assert_allclose(poses_of(file)[0, :3, 3], [4.688319, -1.786938, 0.783338])
    assert poses_of(read_euroc(tmp_path / 'data.csv')).shape == (2, 4, 4)


# Damage


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'its first lines are none of them'),
        ('# nothing\n', 'its first lines are none of them'),
        ('1 2 3\n4 5 6\n', 'expected lines of 8 numbers'),
        ('a b c d e f g h\n', 'its first lines are none of them'),
        ('\0' * 5000, 'its first lines are none of them'),
        ('1 nan 0 0 0 0 0 1\n', 'left out line 1: expected a pose, a number is not finite'),
        ('1 0 0 0 0 0 0 1\nx\ny\n', r'left out line 2: .* \(and 1 more\).* than the 1 good ones'),
        ('1e40 0 0 0 0 0 0 1\n', 'expected a stamp'),
    ],
)
def test_a_file_without_poses_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        read_trajectory(text_file(tmp_path, text))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='No such file'):
        read_trajectory(tmp_path / 'none.txt')
    with pytest.raises(SourceError, match='a folder'):
        read_trajectory(tmp_path)
    with pytest.raises(SourceError, match='regular file'):
        read_trajectory(Path('/dev/zero'))


def test_huge_and_broken_lines_cost_only_themselves(tmp_path: Path) -> None:
    good = b'%d 0 0 0 0 0 0 1\n'
    text = good % 1 + b'9' * 3_000_000 + b'\n' + good % 2 + b'\xff\xfe\x00\n' + good % 3
    file = read_tum(text_file(tmp_path, text + b'4 0 0 0 0 0'))
    assert stamps_of(file) == [10**9 * n for n in (1, 2, 3)]
    (note,) = file.notes
    assert note.numbers == {'lines': 3}
    assert 'line 2: expected at most 4096 bytes' in note.text


def test_stamps_are_written_as_they_are_read() -> None:
    for stamp in (0, 1, START_NS, -5, 10**9, 2**62):
        assert stamp_of_seconds(stamp_text(stamp)) == stamp
