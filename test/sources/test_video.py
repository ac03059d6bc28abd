"""Reading videos: stamps are the file's presentation times, pixels stand upright."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from da3_ros.errors import SourceError
from da3_ros.sources.video import VIDEO_START_NS, VideoReader

WIDTH, HEIGHT = 96, 64


def make_video(path: Path, pts: Sequence[int] = range(25), rate_hz: int = 25) -> Path:
    """Write frames whose left third grows brighter with time; the rest is red over blue."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=rate_hz)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        stream.bit_rate = 4_000_000
        for index, when in enumerate(pts):
            picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            picture[: HEIGHT // 2, :, 0] = 200
            picture[HEIGHT // 2 :, :, 2] = 200
            picture[:, : WIDTH // 3] = min(8 * index, 255)
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts = when
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def rotate_clockwise(path: Path) -> None:
    """Set the display matrix of the first track to a quarter turn (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    start = data.index(b'tkhd') + 4
    matrix = start + (52 if data[start] == 1 else 40)
    numbers = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    data[matrix : matrix + 36] = b''.join(n.to_bytes(4, 'big', signed=True) for n in numbers)
    path.write_bytes(data)


def stamps_s(reader: VideoReader) -> list[float]:
    return [(frame.stamp_ns - VIDEO_START_NS) / 1e9 for frame in reader.frames()]


def test_stamps_are_the_presentation_times(tmp_path: Path) -> None:
    pts = [0, 1, 2, 5, 6, 11, 30, 31]
    reader = VideoReader(make_video(tmp_path / 'a.mp4', pts))
    assert stamps_s(reader) == [p / 25 for p in pts]


def test_the_first_frame_has_the_start_stamp_whatever_its_time(tmp_path: Path) -> None:
    path = make_video(tmp_path / 'a.mkv', [10, 11, 12])
    stamps = [f.stamp_ns for f in VideoReader(path, start_ns=5_000).frames()]
    assert stamps == [5_000, 40_005_000, 80_005_000]


def test_frames_come_in_order_and_upright(tmp_path: Path) -> None:
    frames = list(VideoReader(make_video(tmp_path / 'a.mp4'), camera='eye').frames())
    assert len(frames) == 25
    levels = [frame.image[:, : WIDTH // 4].mean() for frame in frames]
    np.testing.assert_allclose(levels, 8 * np.arange(25), atol=6)
    image = frames[3].image
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image[10, 80, 0] > 150 > image[10, 80, 2]
    assert image[54, 80, 2] > 150 > image[54, 80, 0]
    assert frames[0].camera == 'eye'
    assert frames[0].frame_id == 'eye_optical_frame'
    assert frames[0].calibration is None


def test_reading_again_gives_the_same(tmp_path: Path) -> None:
    reader = VideoReader(make_video(tmp_path / 'a.mp4'))
    first, second = list(reader.frames()), list(reader.frames())
    for a, b in zip(first, second, strict=True):
        assert a.stamp_ns == b.stamp_ns
        np.testing.assert_array_equal(a.image, b.image)


@pytest.mark.parametrize(('rate_hz', 'every'), [(5.0, 5), (12.5, 2), (25.0, 1), (100.0, 1)])
def test_the_rate_picks_frames_evenly(tmp_path: Path, rate_hz: float, every: int) -> None:
    reader = VideoReader(make_video(tmp_path / 'a.mp4'), rate_hz=rate_hz)
    assert stamps_s(reader) == [i / 25 for i in range(0, 25, every)]


def test_a_rate_that_does_not_divide_is_kept_in_the_mean(tmp_path: Path) -> None:
    path = make_video(tmp_path / 'a.mp4', range(100))
    kept = stamps_s(VideoReader(path, rate_hz=10.0))
    assert len(kept) == 40
    assert max(np.diff(kept)) <= 0.12 + 1e-9


def test_max_side_scales_down_and_never_up(tmp_path: Path) -> None:
    path = make_video(tmp_path / 'a.mp4')
    small = VideoReader(path, max_side=48)
    assert (small.info.size.height, small.info.size.width) == (32, 48)
    assert next(small.frames()).image.shape == (32, 48, 3)
    assert next(VideoReader(path, max_side=1000).frames()).image.shape == (HEIGHT, WIDTH, 3)


def test_a_rotated_video_is_rotated_back(tmp_path: Path) -> None:
    path = make_video(tmp_path / 'a.mp4')
    rotate_clockwise(path)
    reader = VideoReader(path, horizontal_fov_deg=60.0)
    assert (reader.info.size.height, reader.info.size.width) == (WIDTH, HEIGHT)
    frame = next(reader.frames())
    assert frame.image.shape == (WIDTH, HEIGHT, 3)
    # The red upper half of the stored picture stands on the right now, the blue one on the left.
    assert frame.image[80, 50, 0] > 150
    assert frame.image[80, 10, 2] > 150
    assert frame.calibration is not None
    assert frame.calibration.size == frame.size


def test_a_stated_field_of_view_becomes_the_calibration(tmp_path: Path) -> None:
    frame = next(VideoReader(make_video(tmp_path / 'a.mp4'), horizontal_fov_deg=90.0).frames())
    assert frame.calibration is not None
    rays = np.linalg.inv(frame.calibration.K) @ np.array([[-0.5, WIDTH - 0.5], [0, 0], [1, 1]])
    np.testing.assert_allclose(np.degrees(np.arctan(rays[0])), [-45, 45], atol=1e-9)


def test_the_header_is_summed_up(tmp_path: Path) -> None:
    info = VideoReader(make_video(tmp_path / 'a.mp4')).info
    assert info.rate_hz == pytest.approx(25.0)
    assert info.duration_s == pytest.approx(1.0, abs=0.05)


def test_a_cut_off_file_is_named(tmp_path: Path) -> None:
    path = make_video(tmp_path / 'cut.mp4')
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match=r'cut\.mp4'):
        VideoReader(path)


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='there is none'):
        VideoReader(tmp_path / 'missing.mp4')
    (tmp_path / 'text.mp4').write_text('no video')
    with pytest.raises(SourceError, match=r'text\.mp4'):
        VideoReader(tmp_path / 'text.mp4')
    with av.open(str(tmp_path / 'sound.wav'), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout='mono')
        sound.sample_rate = 8000
        for packet in [*stream.encode(sound), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(SourceError, match='no video stream'):
        VideoReader(tmp_path / 'sound.wav')


def test_arguments_out_of_range_are_named(tmp_path: Path) -> None:
    path = make_video(tmp_path / 'a.mp4')
    with pytest.raises(SourceError, match='rate'):
        VideoReader(path, rate_hz=0.0)
    with pytest.raises(SourceError, match='max side'):
        VideoReader(path, max_side=0)
    with pytest.raises(SourceError, match='field of view'):
        VideoReader(path, horizontal_fov_deg=180.0)
