"""Miniatures of public datasets, made of a synthetic world by what their descriptions say.

Every writer takes a `Shoot` and writes one layout; what it wrote is what the world knows. Nothing
here uses the readers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, cached_property
import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.synthetic import START_NS, RenderedView, SyntheticWorld, make_world
from da3_ros.synthetic.rig import make_rig
from da3_ros.types import ColourImage
from helpers.colmap_writer import Image, write_text

SIZE = ImageSize(48, 64)
BASELINE_M = 0.2
STEP_NS = 50_000_000
_MOUNTS = {
    'left': ((0.25, BASELINE_M / 2, 0.5), 0.0),
    'right': ((0.25, -BASELINE_M / 2, 0.5), 0.0),
}
_NS_PER_S = 1_000_000_000

FREIBURG3 = PinholeCamera.from_focal(535.4, 539.2, 320.1, 247.6, ImageSize(480, 640))
"""Of colour images of TUM RGB-D whose distortion is undone, as the benchmark's table has it."""
ICL_NUIM = PinholeCamera.from_focal(481.2, 480.0, 319.5, 239.5, ImageSize(480, 640))
SEVEN_SCENES = PinholeCamera.from_focal(585.0, 585.0, 320.0, 240.0, ImageSize(480, 640))

RADTAN = (-0.28, 0.07, 0.0002, 0.00002)
EQUIDISTANT = (-0.01, 0.02, -0.015, 0.004)
BODY_FROM_IMU = np.array(
    [[0, 0, 1.0, 0.1], [0, -1, 0, 0.02], [1, 0, 0, -0.05], [0, 0, 0, 1]], dtype=np.float64
)
"""Where the IMU sits in our body: x up, y right, z forward, as in EuRoC."""


@dataclass(frozen=True)
class Shoot:
    """A stereo pair that looks forward and what it saw."""

    world: SyntheticWorld
    stamps_ns: tuple[int, ...]

    @cached_property
    def _views(self) -> dict[tuple[str, int, bytes], RenderedView]:
        return {}

    def view(
        self, camera: str, stamp_ns: int, intrinsics: PinholeCamera | None = None
    ) -> RenderedView:
        """Return the image and the depth of a camera, its own intrinsics or others."""
        used = intrinsics or self.camera
        key = (camera, stamp_ns, used.K.tobytes())
        if key not in self._views:
            self._views[key] = self.world.renderer.render(used, self.pose(camera, stamp_ns))
        return self._views[key]

    def pose(self, camera: str, stamp_ns: int) -> FloatArray:
        """Return world_from_camera."""
        return self.world.world_from_camera(camera, stamp_ns)

    @property
    def camera(self) -> PinholeCamera:
        """Intrinsics of both cameras."""
        return self.world.intrinsics('left')


def shoot(count: int = 6, size: ImageSize = SIZE, step_ns: int = STEP_NS) -> Shoot:
    """Return a drive of so many instants."""
    world = replace(
        make_world(3, size, ('front',)), rig=make_rig(size, ('left', 'right'), mounts=_MOUNTS)
    )
    return Shoot(world, tuple(START_NS + step_ns * index for index in range(count)))


def seconds(stamp_ns: int) -> str:
    """Return a stamp as decimal seconds, by another arithmetic than the package's."""
    return format(Decimal(stamp_ns) / Decimal(_NS_PER_S), 'f')


def tum_line(stamp_ns: int, pose: FloatArray) -> str:
    """Return `timestamp tx ty tz qx qy qz qw`."""
    numbers = (*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat())
    return ' '.join([seconds(stamp_ns), *(repr(float(number)) for number in numbers)])


def kitti_line(pose: FloatArray) -> str:
    """Return twelve numbers."""
    return ' '.join(f'{number:.9e}' for number in pose[:3].ravel())


def write_image(path: Path, image: ColourImage) -> Path:
    """Write RGB as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


def write_depth(
    path: Path, depth: NDArray[np.float32], per_metre: float, unknown: int = 0
) -> Path:
    """Write depth as PNG of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = np.where(np.isfinite(depth), np.rint(np.nan_to_num(depth) * per_metre), unknown)
    assert cv2.imwrite(str(path), steps.astype(np.uint16))
    return path


def write_tum(folder: Path, shots: Shoot, depth_delay_ns: int = 5_000_000) -> Path:
    """Write the layout of TUM RGB-D; truth at 100 Hz, depth a little behind colour."""
    colour, depth = ['# color images', '# timestamp filename'], ['# depth maps']
    for stamp in shots.stamps_ns:
        view = shots.view('left', stamp, FREIBURG3.resized(shots.camera.size))
        late = stamp + depth_delay_ns
        write_image(folder / 'rgb' / f'{seconds(stamp)}.png', view.image)
        write_depth(folder / 'depth' / f'{seconds(late)}.png', view.depth, 5000)
        colour.append(f'{seconds(stamp)} rgb/{seconds(stamp)}.png')
        depth.append(f'{seconds(late)} depth/{seconds(late)}.png')
    truth = ['# ground truth trajectory', '# timestamp tx ty tz qx qy qz qw']
    first, last = shots.stamps_ns[0] - 3_000_000, shots.stamps_ns[-1] + 20_000_000
    truth += [tum_line(t, shots.pose('left', t)) for t in range(first, last, 10_000_000)]
    write_lines(folder / 'rgb.txt', colour)
    write_lines(folder / 'depth.txt', depth)
    write_lines(folder / 'groundtruth.txt', truth)
    return folder


def write_icl_nuim(folder: Path, shots: Shoot) -> Path:
    """Write the layout of ICL-NUIM: numbers for stamps, poses mirrored in y, none for image 0."""
    mirror = np.diag([1.0, -1.0, 1.0, 1.0])
    pairs, truth = [], []
    for number, stamp in enumerate(shots.stamps_ns):
        view = shots.view('left', stamp, ICL_NUIM.resized(shots.camera.size))
        write_image(folder / 'rgb' / f'{number}.png', view.image)
        write_depth(folder / 'depth' / f'{number}.png', view.depth, 5000)
        pairs.append(f'{number} depth/{number}.png {number} rgb/{number}.png')
        if number:
            pose = mirror @ shots.pose('left', stamp) @ mirror
            truth.append(tum_line(number * _NS_PER_S, pose))
    write_lines(folder / 'associations.txt', pairs)
    write_lines(folder / 'livingRoom0.gt.freiburg', truth)
    return folder


def write_kitti(root: Path, shots: Shoot, sequence: str = '04') -> Path:
    """Write the layout of KITTI odometry; return the sequence's folder."""
    folder = root / 'sequences' / sequence
    first_from_world = np.linalg.inv(shots.pose('left', shots.stamps_ns[0]))
    times, truth = [], []
    for number, stamp in enumerate(shots.stamps_ns):
        for camera, name in (('left', 'image_0'), ('right', 'image_1')):
            grey = cv2.cvtColor(shots.view(camera, stamp).image, cv2.COLOR_RGB2GRAY)
            path = folder / name / f'{number:06d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), grey)
        times.append(f'{(stamp - shots.stamps_ns[0]) / 1e9:e}')
        truth.append(kitti_line(first_from_world @ shots.pose('left', stamp)))
    K = shots.camera.K
    offsets = np.array([[0.0, 0, 0], [-BASELINE_M, 0, 0]])
    lines = [
        f'P{index}: {kitti_line(K @ np.hstack([np.eye(3), offset[:, None]]))}'
        for index, offset in enumerate(offsets)
    ]
    write_lines(folder / 'calib.txt', [*lines, f'Tr: {kitti_line(np.eye(4))}'])
    write_lines(folder / 'times.txt', times)
    write_lines(root / 'poses' / f'{sequence}.txt', truth)
    return folder


def write_euroc(folder: Path, shots: Shoot, distortions: Sequence[str] = ('radtan',) * 2) -> Path:
    """Write the layout of EuRoC: distorted images of a pair, truth of the IMU at 200 Hz."""
    root = folder / 'mav0'
    header = '#timestamp [ns],filename'
    for camera, name, distortion in zip(
        ('left', 'right'), ('cam0', 'cam1'), distortions, strict=True
    ):
        for stamp in shots.stamps_ns:
            write_image(
                root / name / 'data' / f'{stamp}.png', distorted(shots, camera, stamp, distortion)
            )
        write_lines(
            root / name / 'data.csv', [header, *(f'{t},{t}.png' for t in shots.stamps_ns)], '\r\n'
        )
        mount = np.linalg.inv(BODY_FROM_IMU) @ shots.world.rig.calibration.base_from_camera[camera]
        write_sensor(root / name / 'sensor.yaml', shots.camera, distortion, mount)
    truth = [
        '#timestamp, p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y [], '
        'q_RS_z [], v_RS_R_x [m s^-1]'
    ]
    for stamp in range(shots.stamps_ns[0], shots.stamps_ns[-1] + 1, 5_000_000):
        pose = shots.world.world_from_base(stamp) @ BODY_FROM_IMU
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        numbers = (*pose[:3, 3], w, x, y, z, 0.1)
        truth.append(','.join([str(stamp), *(f'{number:.9f}' for number in numbers)]))
    write_lines(root / 'state_groundtruth_estimate0' / 'data.csv', truth)
    return folder


def write_sensor(path: Path, camera: PinholeCamera, distortion: str, mount: FloatArray) -> None:
    """Write the `sensor.yaml` of a camera."""
    (fx, _, cx), (_, fy, cy), _ = camera.K.tolist()
    name, numbers = {
        'radtan': ('radial-tangential', RADTAN),
        'equidistant': ('equidistant', EQUIDISTANT),
    }[distortion]
    lines = [
        '# General sensor definitions.',
        'sensor_type: camera',
        'T_BS:',
        '  cols: 4',
        '  rows: 4',
        f'  data: {mount.ravel().tolist()}',
        'rate_hz: 20',
        f'resolution: [{camera.size.width}, {camera.size.height}]',
        'camera_model: pinhole',
        f'intrinsics: [{fx}, {fy}, {cx}, {cy}] #fu, fv, cu, cv',
        f'distortion_model: {name}',
        f'distortion_coefficients: {list(numbers)}',
    ]
    write_lines(path, lines)


@cache
def _rays(camera: PinholeCamera, distortion: str) -> FloatArray:
    return rays_of_lens(camera, distortion)


def distorted(shots: Shoot, camera: str, stamp_ns: int, distortion: str) -> ColourImage:
    """Return what a camera with a real lens sees."""
    rays = _rays(shots.camera, distortion)
    wide = PinholeCamera.from_focal(45, 45, 79.5, 79.5, ImageSize(160, 160))
    seen = shots.world.renderer.render(wide, shots.pose(camera, stamp_ns))
    places = (rays * 45 + 79.5).astype(np.float32)
    found = cv2.remap(seen.image, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
    return np.asarray(found, np.uint8)


def rays_of_lens(
    camera: PinholeCamera, distortion: str, coefficients: Sequence[float] | None = None
) -> FloatArray:
    """Return x / z and y / z of every pixel (H, W, 2) of a lens; OpenCV says where it looks."""
    size = camera.size
    grid = np.meshgrid(np.arange(size.width), np.arange(size.height))
    pixels = np.stack(grid, -1).reshape(-1, 2).astype(np.float64)
    if distortion == 'equidistant':
        flat = cv2.fisheye.undistortPoints(
            pixels[:, None], camera.K, np.array(coefficients or EQUIDISTANT)
        )
        return np.asarray(flat, np.float64).reshape(size.height, size.width, 2)
    aim = (pixels - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]]
    rays, none = aim.copy(), np.zeros(3)
    for _ in range(30):
        points = np.column_stack([rays, np.ones(len(rays))])
        there, _ = cv2.projectPoints(
            points, none, none, np.eye(3), np.array(coefficients or RADTAN)
        )
        rays += 0.8 * (aim - there[:, 0])
    return np.asarray(rays, np.float64).reshape(size.height, size.width, 2)


def smooth_image(rays: FloatArray) -> ColourImage:
    """Return colours that depend on the direction only, and smoothly, (H, W, 3)."""
    x, y = rays[..., 0], rays[..., 1]
    waves = [np.sin(4 * x + y), np.cos(3 * y - x), np.sin(3 * x * y)]
    return np.rint(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)


def write_7scenes(scene: Path, shots: Shoot, sequences: Sequence[int] = (1,)) -> Path:
    """Write the layout of 7-Scenes; return the scene's folder."""
    for sequence in sequences:
        folder = scene / f'seq-{sequence:02d}'
        for number, stamp in enumerate(shots.stamps_ns):
            view = shots.view('left', stamp, SEVEN_SCENES.resized(shots.camera.size))
            stem = f'frame-{number:06d}'
            write_image(folder / f'{stem}.color.png', view.image)
            write_depth(folder / f'{stem}.depth.png', view.depth, 1000, 65535)
            rows = [
                '\t '.join(f'{number: .7e}' for number in row) + '\t '
                for row in shots.pose('left', stamp)
            ]
            write_lines(folder / f'{stem}.pose.txt', rows, '\r\n')
    write_lines(scene / 'TrainSplit.txt', [f'sequence{number}' for number in sequences])
    return scene


def write_colmap(folder: Path, shots: Shoot) -> Path:
    """Write a COLMAP model with its images, as text."""
    (fx, _, cx), (_, fy, cy), _ = shots.camera.K.tolist()
    size = shots.camera.size
    images: list[Image] = []
    for number, stamp in enumerate(shots.stamps_ns):
        write_image(folder / 'images' / f'{number:04d}.png', shots.view('left', stamp).image)
        inverse = np.linalg.inv(shots.pose('left', stamp))
        x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat().tolist()
        pose = (w, x, y, z, *inverse[:3, 3].tolist())
        images.append((number + 1, pose, 1, f'{number:04d}.png', []))
    camera = (1, 'PINHOLE', size.width, size.height, (fx, fy, cx + 0.5, cy + 0.5))
    write_text(folder / 'sparse' / '0', [camera], images)
    return folder


def write_cameras_json(folder: Path, shots: Shoot, *, is_stamped: bool = True) -> Path:
    """Write images, depth and `cameras.json`."""
    frames: list[dict[str, object]] = []
    for number, stamp in enumerate(shots.stamps_ns):
        view = shots.view('left', stamp)
        write_image(folder / 'images' / f'{number}.png', view.image)
        write_depth(folder / 'depth' / f'{number}.png', view.depth, 1000)
        frame: dict[str, object] = {
            'image': f'images/{number}.png',
            'depth': f'depth/{number}.png',
            'K': shots.camera.K.tolist(),
            'size_hw': [shots.camera.size.height, shots.camera.size.width],
            'world_from_camera': shots.pose('left', stamp).tolist(),
        }
        frames.append({**frame, 'stamp_ns': stamp} if is_stamped else frame)
    said = {'metric': True, 'frames': frames}
    (folder / 'cameras.json').write_text(json.dumps(said), encoding='utf-8')
    return folder


def write_lines(path: Path, lines: Sequence[str], end: str = '\n') -> None:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(''.join(line + end for line in lines).encode())


WRITERS: dict[str, Callable[[Path, Shoot], Path]] = {
    'tum': lambda folder, shots: write_tum(folder / 'rgbd_dataset_freiburg3_mini', shots),
    'icl_nuim': write_icl_nuim,
    'kitti': write_kitti,
    'euroc': write_euroc,
    '7scenes': write_7scenes,
    'cameras_json': write_cameras_json,
    'colmap': write_colmap,
}
"""By the kind that `open_dataset` gives what they write."""
