"""Pictures pixel by pixel: rows of a video, classes of the colours of depth, ends of a path."""

from pathlib import Path

import av
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.export.gs_pivot import pivot_poses
from da3_ros.export.spectral import spectral
from da3_ros.export.video_file import VideoCoding, video_file
from da3_ros.geometry.se3 import rigid

# d3-scale-chromatic, src/diverging/Spectral.js: ColorBrewer's scheme with eleven classes.
D3_SPECTRAL = '9e0142d53e4ff46d43fdae61fee08bffffbfe6f598abdda466c2a53288bd5e4fa2'


def test_the_classes_of_the_scheme_are_those_that_d3_has() -> None:
    """A class lies at every tenth of the table."""
    wanted = np.frombuffer(bytes.fromhex(D3_SPECTRAL), np.uint8).reshape(11, 3).astype(int)
    # Every second tenth of 255 is a whole level.
    levels = 51 * np.arange(6)
    np.testing.assert_array_equal(spectral((levels + 0.5) / 256), wanted[::2])
    # The others lie in the middle between two levels.
    below, above = (spectral((25 + 51 * np.arange(5) + i + 0.5) / 256).astype(int) for i in (0, 1))
    bend = np.abs(np.diff(wanted, n=2, axis=0))[::2] / 25.5
    assert (np.abs((below + above + 1) / 2 - wanted[1::2]) <= 0.5 + bend).all()


@pytest.mark.parametrize(('height', 'width'), [(36, 48), (37, 49), (36, 49), (37, 48)])
def test_pictures_stay_where_they_are_in_a_video(tmp_path: Path, height: int, width: int) -> None:
    """Of odd sides the last row and the last column are repeated; nothing is moved or scaled."""
    image = np.zeros((height, width, 3), np.uint8)
    image[10:, 20:] = 255
    with video_file(tmp_path / 'a.mp4', 24, VideoCoding(0, 'veryfast')) as video:
        for _ in range(2):
            video.add(image)
    with av.open(str(tmp_path / 'a.mp4')) as container:
        frame = next(container.decode(video=0)).to_ndarray(format='rgb24')
    assert frame.shape == (height + height % 2, width + width % 2, 3)
    wanted = np.pad(image, [(0, height % 2), (0, width % 2), (0, 0)], mode='edge')
    np.testing.assert_allclose(frame.astype(int), wanted, atol=8)


@pytest.mark.parametrize('angle_deg', [0.0, 0.1, 0.5, 0.8, 5.0])
@pytest.mark.parametrize('axis', [[1.0, 0, 0], [0, 1.0, 0], [0.6, 0, 0.8]])
def test_a_path_begins_and_ends_at_its_poses_however_alike_they_look(
    angle_deg: float, axis: list[float]
) -> None:
    """Directions within 0.8 degrees count as parallel, others meet in a point: both are exact."""
    start = rigid(Rotation.from_rotvec([0.3, -0.2, 0.9]).as_matrix(), [1.0, 2.0, 3.0])
    tilt = Rotation.from_rotvec(np.radians(angle_deg) * np.array(axis)).as_matrix()
    end = start @ rigid(tilt, [0.5, -0.1, 0.2])
    path = pivot_poses(start, end, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(path[0], start, atol=1e-9)
    np.testing.assert_allclose(path[2], end, atol=1e-9)
    np.testing.assert_allclose(path[1][:3, :3] @ path[1][:3, :3].T, np.eye(3), atol=1e-9)
