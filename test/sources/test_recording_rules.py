"""Small rules of bags and videos, one by one."""

from pathlib import Path
import sqlite3
from typing import Any

import av
import numpy as np
import pytest
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Writer

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize
from da3_ros.sources.bag import BagReader
from da3_ros.sources.video import VIDEO_START_NS, VideoReader
from helpers.raw_messages import START_NS, STORE, text

# Bags


@pytest.mark.parametrize('page', [512, 4096, 65536])
def test_sqlite_files_of_every_page_size_that_end_within_a_page_are_cut(
    tmp_path: Path, page: int
) -> None:
    """A page of 65536 is stored as 1 (SQLite file format, 1.3.2)."""
    path = tmp_path / 'bag.db3'
    with sqlite3.connect(path) as data:
        data.execute(f'pragma page_size = {page}')
        data.execute('create table t (x)')
        data.execute('insert into t values (zeroblob(70000))')
    data.close()
    whole = path.read_bytes()
    assert len(whole) % page == 0
    path.write_bytes(whole[:-1])
    with pytest.raises(SourceError, match=f'ends {page - 1} bytes into a page of {page}'):
        BagReader(path).__enter__()
    path.write_bytes(whole)
    with pytest.raises(SourceError) as whole_one:
        BagReader(path).__enter__()
    assert 'into a page' not in str(whole_one.value)


@pytest.mark.parametrize(
    ('durabilities', 'wanted'),
    [
        ([], False),
        ([QosDurability.VOLATILE], False),
        ([QosDurability.TRANSIENT_LOCAL], True),
        ([QosDurability.VOLATILE, QosDurability.TRANSIENT_LOCAL], True),
    ],
)
def test_one_publisher_that_keeps_its_last_message_makes_a_topic_latched(
    tmp_path: Path, durabilities: list[QosDurability], wanted: bool
) -> None:
    never = QosTime(0, 0)
    profiles = [
        Qos(
            QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, durability,
            never, never, QosLiveliness.AUTOMATIC, never, False,
        )
        for durability in durabilities
    ]  # fmt: skip
    with Writer(tmp_path / 'bag', version=9) as writer:
        message = text('/note', START_NS, 'x')
        connection = writer.add_connection(
            message.topic, message.msgtype, typestore=STORE, offered_qos_profiles=profiles
        )
        writer.write(connection, message.stamp_ns, message.data)
    with BagReader(tmp_path / 'bag') as bag:
        assert [topic.is_latched for topic in bag.topics] == [wanted]


def test_a_bag_that_is_not_open_says_so_and_closes_twice(tmp_path: Path) -> None:
    bag = BagReader(tmp_path)
    with pytest.raises(SourceError, match='not open'):
        _ = bag.topics
    bag.__exit__(None, None, None)


# Videos


def video(path: Path, size: tuple[int, int], count: int = 6, rate: int = 10) -> Path:
    with av.open(str(path), 'w') as container:
        stream: Any = container.add_stream('mpeg4', rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, 'yuv420p'
        for index in range(count):
            pixels = np.full((size[1], size[0], 3), 20 * (index % 10), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ('size', 'most', 'wanted'),
    [
        ((96, 64), 48, (48, 32)),
        ((64, 96), 48, (32, 48)),
        ((96, 64), 95, (95, 63)),
        ((96, 64), 96, (96, 64)),
        ((96, 64), 97, (96, 64)),
        ((96, 16), 2, (2, 1)),
        ((64, 96), 1, (1, 1)),
    ],
)
def test_the_longer_side_is_what_was_asked_for(
    tmp_path: Path, size: tuple[int, int], most: int, wanted: tuple[int, int]
) -> None:
    reader = VideoReader(video(tmp_path / 'a.mp4', size), max_side=most)
    assert (reader.info.size.width, reader.info.size.height) == wanted
    frames = list(reader.frames())
    assert {frame.image.shape for frame in frames} == {(wanted[1], wanted[0], 3)}
    # Scaled, not cut: the grey of each frame stays.
    levels = [float(frame.image.mean()) for frame in frames]
    np.testing.assert_allclose(levels, 20 * np.arange(6), atol=4)


@pytest.mark.parametrize('fov_deg', [1.0, 60.0, 90.0, 179.0])
def test_the_field_of_view_is_from_border_to_border(tmp_path: Path, fov_deg: float) -> None:
    reader = VideoReader(video(tmp_path / 'a.mp4', (96, 64)), horizontal_fov_deg=fov_deg)
    camera = next(reader.frames()).calibration
    assert camera is not None
    rays = np.linalg.inv(camera.K) @ np.array([[-0.5, 31.5, 1], [95.5, 31.5, 1]]).T
    np.testing.assert_allclose(rays[1], 0, atol=1e-12)
    assert rays[0, 1] == pytest.approx(-rays[0, 0])
    assert 2 * np.degrees(np.arctan(rays[0, 1])) == pytest.approx(fov_deg)
    assert camera.K[0, 0] == camera.K[1, 1]


@pytest.mark.parametrize(
    ('name', 'bad', 'good'),
    [
        ('rate_hz', [0.0, -1.0], [0.5, 1.0]),
        ('max_side', [0, -1], [1]),
        ('horizontal_fov_deg', [0.0, 180.0, -1.0], [0.5, 179.5]),
    ],
)
def test_arguments_at_their_bounds(
    tmp_path: Path, name: str, bad: list[float], good: list[float]
) -> None:
    path = video(tmp_path / 'a.mp4', (96, 64))
    for value in bad:
        with pytest.raises(SourceError, match='expected'):
            VideoReader(path, **{name: value})  # type: ignore[arg-type]
    for value in good:
        assert next(VideoReader(path, **{name: value}).frames())  # type: ignore[arg-type]


def test_the_header_says_rate_and_duration(tmp_path: Path) -> None:
    info = VideoReader(video(tmp_path / 'a.mp4', (96, 64), count=15, rate=5)).info
    assert info.rate_hz == pytest.approx(5)
    assert info.duration_s == pytest.approx(3.0, abs=0.01)


def turn(path: Path, quarters: int) -> Path:
    """Set the display matrix of the first track to clockwise quarters (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    start = data.index(b'tkhd') + 4
    matrix = start + (52 if data[start] == 1 else 40)
    cosine, sine = round(np.cos(quarters * np.pi / 2)), round(np.sin(quarters * np.pi / 2))
    one = 1 << 16
    numbers = [cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30]
    data[matrix : matrix + 36] = b''.join(n.to_bytes(4, 'big', signed=True) for n in numbers)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize('quarters', range(4))
def test_the_header_knows_the_size_of_rotated_frames(tmp_path: Path, quarters: int) -> None:
    path = turn(video(tmp_path / 'a.mp4', (96, 64)), quarters)
    reader = VideoReader(path, max_side=48, horizontal_fov_deg=60.0)
    frame = next(reader.frames())
    wanted = ImageSize(48, 32) if quarters % 2 else ImageSize(32, 48)
    assert reader.info.size == wanted
    assert frame.image.shape[:2] == (wanted.height, wanted.width)
    assert frame.calibration is not None
    assert frame.calibration.size == wanted


def test_the_date_of_videos_is_a_time_of_ros() -> None:
    """builtin_interfaces/Time counts seconds in 32 bits with a sign; zero is no time."""
    assert 0 < VIDEO_START_NS // 10**9 < 2**31 - 10**6


def test_of_frames_with_one_stamp_the_first_stays(tmp_path: Path) -> None:
    """Matroska rounds to milliseconds: of 2000 frames a second every other falls away."""
    path = video(tmp_path / 'a.mkv', (32, 16), count=8, rate=2000)
    reader = VideoReader(path)
    stamps = [frame.stamp_ns for frame in reader.frames()]
    assert len(stamps) < 8
    assert (np.diff(stamps) > 0).all()
    assert [n.numbers['frames'] for n in reader.notes if n.code == 'video_times'] == [
        8 - len(stamps)
    ]


@pytest.mark.parametrize('rate_hz', [0.7, 1.0, 3.0, 3.7])
def test_kept_frames_are_the_first_ones_due(tmp_path: Path, rate_hz: float) -> None:
    """By a plain search: the k-th frame kept is the first at or after k / rate."""
    reader = VideoReader(video(tmp_path / 'a.mp4', (32, 16), count=60, rate=10), rate_hz=rate_hz)
    stamps = [frame.stamp_ns for frame in reader.frames()]
    seconds = (np.array(stamps) - stamps[0]) / 1e9
    times = np.arange(60) / 10
    ticks = np.arange(0, 6, 1 / rate_hz)
    wanted = {float(times[times >= tick - 1e-6][0]) for tick in ticks if tick <= times[-1] + 1e-6}
    np.testing.assert_allclose(seconds, sorted(wanted))
