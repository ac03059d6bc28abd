"""Videos of the field come as players show them, and say what could not be read."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
import math
import os
from pathlib import Path
import re
from typing import Any

import av
import numpy as np
import pytest

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize
from da3_ros.sources.video import VIDEO_START_NS, VideoReader
from helpers.odd_videos import RATE_HZ, picture, set_matrix, write_pq, write_video


@pytest.fixture(scope='module')
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp('videos') / 'plain.mp4', count=3)


def read(path: Path, **options: Any) -> tuple[VideoReader, list[Any], list[float]]:
    """Return a reader, its frames and their times in seconds."""
    reader = VideoReader(path, **options)
    frames = list(reader.frames())
    return reader, frames, [(frame.stamp_ns - VIDEO_START_NS) / 1e9 for frame in frames]


def texts(reader: VideoReader) -> str:
    return '; '.join(note.text for note in reader.notes)


# Shape and orientation


@pytest.mark.parametrize(
    'matrix',
    [
        np.array(rows, float)
        for x, y in product((1, -1), repeat=2)
        for rows in (((x, 0), (0, y)), ((0, y), (x, 0)))
    ],
    ids=str,
)
def test_every_display_matrix_of_right_angles(
    tmp_path: Path, plain: Path, matrix: np.ndarray[Any, Any]
) -> None:
    """A stored pixel p = (x, y) is shown at p @ matrix, moved to where all is positive."""
    path = tmp_path / 'a.mp4'
    path.write_bytes(plain.read_bytes())
    stored = next(VideoReader(plain).frames()).image
    ys, xs = np.mgrid[: stored.shape[0], : stored.shape[1]]
    places = np.rint(np.stack([xs, ys], axis=-1) @ matrix).astype(int)
    places -= places.min(axis=(0, 1))
    width, height = places.max(axis=(0, 1)) + 1
    wanted = np.zeros((height, width, 3), np.uint8)
    wanted[places[..., 1], places[..., 0]] = stored

    reader, frames, _ = read(set_matrix(path, matrix))
    assert reader.info.size == ImageSize(height, width)
    np.testing.assert_array_equal(frames[0].image, wanted)
    assert not reader.notes


def test_an_angle_between_is_shown_at_the_nearest_and_said(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / 'a.mp4'
    path.write_bytes(plain.read_bytes())
    cosine, sine = np.cos(np.radians(30)), np.sin(np.radians(30))
    reader, frames, _ = read(set_matrix(path, np.array([[cosine, sine], [-sine, cosine]])))
    np.testing.assert_array_equal(frames[0].image, next(VideoReader(plain).frames()).image)
    assert 'angle' in texts(reader)


@pytest.mark.parametrize(
    ('aspect', 'max_side', 'wanted'),
    [
        (Fraction(2), None, (128, 48)),
        (Fraction(1, 2), None, (64, 96)),
        (Fraction(4, 3), None, (85, 48)),
        (Fraction(2), 64, (64, 24)),
        (Fraction(1, 2), 48, (32, 48)),
        (Fraction(50), None, (64, 48)),  # damage
    ],
)
def test_oblong_pixels_become_square_ones(
    tmp_path: Path, aspect: Fraction, max_side: int | None, wanted: tuple[int, int]
) -> None:
    path = write_video(tmp_path / 'a.mp4', count=1, aspect=aspect)
    reader, frames, _ = read(path, max_side=max_side)
    assert reader.info.size == ImageSize(wanted[1], wanted[0])
    image = frames[0].image
    assert image.shape == (wanted[1], wanted[0], 3)
    # Stretched, not cut: what was a quarter of the width still is.
    blue = image[-2, :, 2].astype(int) - image[-2, :, 0] > 80
    assert abs(blue.mean() - 1 / 4) <= 2 / wanted[0]


@pytest.mark.slow  # seconds to build the table of colours
def test_high_dynamic_range_has_its_white_at_203_nits(tmp_path: Path) -> None:
    nits = np.array([0.0, 5, 20, 50, 100, 203, 1000])
    reader, frames, _ = read(write_pq(tmp_path / 'a.mkv', nits))
    linear = np.minimum(nits / 203, 1)  # ITU-R BT.2408
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    found = frames[0].image[8, 8::16]
    np.testing.assert_allclose(found, np.tile(255 * curve, (3, 1)).T, atol=3)
    assert 'dynamic range' in texts(reader)


# Times


def test_joined_videos_follow_each_other(tmp_path: Path) -> None:
    part = write_video(tmp_path / 'part.ts').read_bytes()
    path = tmp_path / 'joined.ts'
    path.write_bytes(part * 3)
    reader, frames, times = read(path)
    np.testing.assert_allclose(times, np.arange(30) / RATE_HZ, atol=1e-9)
    assert 'anew in 2 places' in texts(reader)
    levels = [frame.image[:, 34:46].mean() for frame in frames]
    np.testing.assert_allclose(levels, 10.0 * np.tile(np.arange(10), 3), atol=4)
    assert reader.length(exact=True).kept(5.0) == 15
    assert len(read(path, rate_hz=5.0)[1]) == 15


def test_frames_of_another_shape_are_left_out_and_said(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f'{i}.ts', (size,)) for i, size in enumerate(SHAPES)]
    path = tmp_path / 'joined.ts'
    path.write_bytes(b''.join(part.read_bytes() for part in parts))
    reader, frames, _ = read(path)
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    # The second part has the same shape at another size.
    assert len(frames) == 20
    assert 'left out: 10 frames of 48x64' in texts(reader)
    np.testing.assert_allclose(frames[10].image[40, 5], frames[0].image[40, 5], atol=20)


SHAPES = ((64, 48), (128, 96), (48, 64))


def test_frames_without_stamps_come_at_the_rate_of_the_stream(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'a.h264', codec='libx264', container_format='h264')
    reader, _, times = read(path)
    np.testing.assert_allclose(times, np.arange(10) / RATE_HZ, atol=1e-9)
    assert 'no time stamp at 10 frames' in texts(reader)
    assert reader.length().frames == 10
    assert reader.length().kept(2.0) == 2


# Damage


@pytest.fixture(scope='module')
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {'movflags': 'faststart'}
    path = write_video(tmp_path_factory.mktemp('cut') / 'cut.mp4', count=20, options=options)
    data = path.read_bytes()
    start = data.index(b'mdat')
    path.write_bytes(data[: start + (len(data) - start) * 8 // 10])
    return path


def test_a_cut_video_says_what_was_promised_and_what_came(cut: Path) -> None:
    reader, frames, _ = read(cut)
    assert 0 < len(frames) < 17
    (note,) = reader.notes
    assert note.code == 'video_damaged'
    assert note.numbers == {
        'promised_frames': 20,
        'promised_s': 2.0,
        'read_frames': len(frames),
        'read_s': pytest.approx(len(frames) / RATE_HZ),
    }
    assert f'20 frames (2.0 s), {len(frames)} (' in note.text
    assert reader.length().frames == 20
    assert len(frames) <= reader.length(exact=True).frames < 20


def test_frames_of_one_time_are_left_out_and_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'a.mkv', codec='ffv1')
    # Blocks of track 1 at 100 and 200 ms get the time of the first (Matroska, SimpleBlock).
    data = path.read_bytes()
    for time_ms in (100, 200):
        time = time_ms.to_bytes(2, 'big')
        first = re.search(rb'\xa3[\x10-\x7f].{0,3}?\x81' + re.escape(time), data, re.DOTALL)
        assert first is not None
        data = data[: first.end() - 2] + bytes(2) + data[first.end() :]
    path.write_bytes(data)
    reader, frames, _ = read(path)
    assert len(frames) == 8
    assert 'left out: 2 frames whose time stamp is not after' in texts(reader)


@pytest.mark.parametrize('rate_hz', [0, -1, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(plain: Path, rate_hz: float) -> None:
    with pytest.raises(SourceError, match='expected more than 0 Hz'):
        VideoReader(plain, rate_hz=rate_hz)


def test_what_ffmpeg_says_is_its_sentence(tmp_path: Path) -> None:
    path = tmp_path / 'a.mp4'
    path.write_text('no video')
    with pytest.raises(SourceError) as raised:
        VideoReader(path)
    assert str(raised.value) == (
        f'video {path}: cannot be read: Invalid data found when processing input'
    )


def test_a_whole_video_has_nothing_to_say(plain: Path) -> None:
    reader, frames, _ = read(plain)
    assert len(frames) == 3
    assert reader.notes == ()


def test_frames_before_the_first_key_are_left_out(tmp_path: Path) -> None:
    data = write_video(tmp_path / 'a.ts', codec='libx264', count=20).read_bytes()
    whole, _, _ = read(tmp_path / 'a.ts')
    path = tmp_path / 'late.ts'
    # Whole transport packets (ISO 13818-1: 188 bytes), from the middle on, and then it again.
    path.write_bytes(data[len(data) // 188 // 2 * 188 :] + data)
    reader, frames, times = read(path)
    assert len(frames) >= 20
    assert (np.diff(times) > 0).all()
    assert reader.info.size == whole.info.size


# What else is in the file


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / 'a.mp4'
    assert [f.image.shape for f in read(with_cover(path, frames=4))[1]] == [(48, 64, 3)] * 4
    with pytest.raises(SourceError, match='only a cover picture'):
        VideoReader(with_cover(path, frames=0))


def with_cover(path: Path, frames: int) -> Path:
    with av.open(str(path), 'w') as container:
        cover: Any = container.add_stream('mjpeg', rate=RATE_HZ)
        cover.width, cover.height, cover.pix_fmt = 32, 32, 'yuvj420p'
        cover.disposition = av.stream.Disposition.attached_pic
        video: Any = container.add_stream('mpeg4', rate=RATE_HZ) if frames else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, 'yuv420p'
        for stream, size, count in ((cover, (32, 32), 1), (video, (64, 48), frames)):
            for index in range(count):
                frame = av.VideoFrame.from_ndarray(picture(size), format='rgb24')
                frame.pts = index
                container.mux(stream.encode(frame))
            if stream is not None:
                container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize('sizes', [((64, 48), (96, 48)), ((96, 48), (64, 48))], ids=str)
def test_of_several_videos_the_largest_is_taken(
    tmp_path: Path, sizes: Sequence[tuple[int, int]]
) -> None:
    path = tmp_path / 'a.avi'  # without marks of a default
    reader, frames, _ = read(write_video(path, sizes, count=2))
    assert frames[0].image.shape == (48, 96, 3)
    assert 'holds 2 videos' in texts(reader)


def test_transparent_pixels_are_said(tmp_path: Path) -> None:
    path = tmp_path / 'a.mkv'
    with av.open(str(path), 'w') as container:
        stream: Any = container.add_stream('ffv1', rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'bgra'
        pixels = np.dstack([picture((64, 48)), np.full((48, 64), 100, np.uint8)])
        frame = av.VideoFrame.from_ndarray(pixels, format='rgba')
        frame.pts = 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    reader, frames, _ = read(path)
    np.testing.assert_array_equal(frames[0].image, picture((64, 48)))
    assert 'transparent' in texts(reader)


def test_interlaced_pictures_are_said(tmp_path: Path) -> None:
    path = tmp_path / 'a.mp4'
    options = {'x264-params': 'interlaced=1'}
    reader, _, _ = read(write_video(path, codec='libx264', codec_options=options))
    assert 'interlaced' in texts(reader)


@pytest.mark.parametrize('count', [1, 5])
def test_an_animated_gif_is_a_video(tmp_path: Path, count: int) -> None:
    path = write_video(tmp_path / 'a.gif', count=count, codec='gif', pix_fmt='rgb8')
    reader, frames, times = read(path)
    np.testing.assert_allclose(times, np.arange(count) / RATE_HZ, atol=0.011)
    assert frames[0].image.shape == (48, 64, 3)
    assert reader.length().kept(5.0) == -(-count // 2)
    assert not reader.notes


# Names


@pytest.mark.parametrize('name', [b'12:30.avi', b'caf\xe9.avi', b'http:a b.avi', b'50%.avi'])
def test_any_name_of_a_file(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    path.write_bytes(plain.read_bytes())
    assert len(read(path)[1]) == len(read(path.resolve())[1]) == 3


def test_titles_need_not_be_utf8(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'a.avi', title='a caf! here', count=2)
    data = path.read_bytes()
    assert data.count(b'caf!') == 1
    path.write_bytes(data.replace(b'caf!', b'caf\xe9'))
    assert len(read(path)[1]) == 2


def test_a_list_of_other_files_is_no_video(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / 'list.mp4'
    path.write_text(f"ffconcat version 1.0\nfile '{plain.name}'\n")
    with pytest.raises(SourceError, match=r'list of other files|cannot be read'):
        VideoReader(path)
    path.write_text(f'#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{plain}\n#EXT-X-ENDLIST\n')
    with pytest.raises(SourceError, match=r'list of other files|cannot be read'):
        VideoReader(path)
