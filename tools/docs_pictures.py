"""Draws the pictures of docs/exports.md: `python -m tools.docs_pictures`.

`--sheet demo_output/sheet.png` makes demo.jpg of a run of the demo instead.

Exact depth of the synthetic room stands in the place of a network, Gaussians are made from its
pixels; everything else is what an export does. The GLB is read back and drawn from above.
"""

import argparse
from dataclasses import replace
from pathlib import Path
import tempfile

import av
import cv2
import numpy as np
from numpy.typing import NDArray
import trimesh

from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.gs_options import GsVideoOptions
from da3_ros.export.harmonics import harmonic_basis
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene, world_points
from da3_ros.export.splat_render import cpu_backend
from da3_ros.export.splat_types import PosedCamera
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.options.export import GlbOptions
from da3_ros.synthetic import START_NS, make_family_world
from da3_ros.types import PosedView, ViewId

SIZE = ImageSize(240, 320)
INSTANTS = 4
STEP_NS = 1_500_000_000
FROM_ABOVE = ImageSize(480, 640)
POINT_M = 0.02
PAGE_PX = 1600


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(prog='python -m tools.docs_pictures', description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('docs'))
    parser.add_argument('--sheet', type=Path, help='the sheet of a demo run')
    arguments = parser.parse_args()
    out: Path = arguments.out
    if arguments.sheet is not None:
        _write(out / 'demo.jpg', page_width(arguments.sheet))
        return
    scene = room()
    options = ExportOptions(
        conf_thresh_percentile=0.0,
        glb=GlbOptions(show_cameras=False),
        gs_video=GsVideoOptions(trj_mode='wander', video_quality='medium'),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_scene(scene, 'depth_vis-glb', folder, options=options)
        sheet = cv2.imread(str(folder / 'depth_vis' / '0000.jpg'))
        assert sheet is not None
        _write(out / 'depth_vis.jpg', np.asarray(sheet[..., ::-1], np.uint8))
        _write(out / 'glb.jpg', from_above(folder / 'scene.glb'))
        front = tuple(view for view in scene.views if view.id.camera == 'front')
        export_scene(
            with_gaussians(replace(scene, views=front)), 'gs_video', folder, options=options
        )
        _write(out / 'gs_video.jpg', frame_of(folder / 'gs_video' / '0000_wander.mp4', 40))


def page_width(path: Path) -> NDArray[np.uint8]:
    """Return a picture at the width of a page, RGB."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise OSError(f'{path}: expected a picture')
    height = round(picture.shape[0] * PAGE_PX / picture.shape[1])
    resized = cv2.resize(picture, (PAGE_PX, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized[..., ::-1], np.uint8)


def room() -> ExportScene:
    """Return what three cameras see of a room at some instants."""
    world = make_family_world(0, SIZE)
    views = []
    for step in range(INSTANTS):
        stamp_ns = START_NS + step * STEP_NS
        for camera in world.rig.cameras:
            seen = world.render(camera, stamp_ns, supersample=2)
            view_id = ViewId(camera, stamp_ns, world.rig.frame_id(camera))
            pose = seen.world_from_camera
            views.append(
                PosedView(view_id, seen.depth, seen.image, seen.camera, True, pose, None, None)
            )
    return ExportScene(tuple(views), is_metric=True)


def with_gaussians(scene: ExportScene) -> ExportScene:
    """Return the scene with a round Gaussian on every pixel, as large as the pixel."""
    clouds = [world_points(view, 0.0) for view in scene.views]
    sizes = [0.6 * view.depth.ravel() / view.camera.K[0, 0] for view in scene.views]
    cloud = round_gaussians(
        np.concatenate([cloud.xyz for cloud in clouds]),
        np.concatenate([cloud.rgb for cloud in clouds]),
        np.concatenate(sizes),
        0.95,
        (len(scene.views), SIZE.height, SIZE.width),
    )
    return replace(scene, gaussians=cloud)


def round_gaussians(
    xyz: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    sizes: NDArray[np.floating],
    opacity: float,
    grid: tuple[int, int, int],
) -> GaussianCloud:
    """Return Gaussians (P) of equal extent in all directions and one colour each."""
    turns = np.zeros((len(xyz), 4), np.float32)
    turns[:, 0] = 1.0
    [[constant]] = harmonic_basis(np.array([[0.0, 0.0, 1.0]]), 0)
    return GaussianCloud(
        means=xyz,
        scales=sizes.astype(np.float32)[:, None].repeat(3, axis=1),
        rotations_wxyz=turns,
        harmonics=((rgb[:, :, None] / 255 - 0.5) / constant).astype(np.float32),
        opacities=np.full(len(xyz), opacity, np.float32),
        grid=grid,
    )


def from_above(glb: Path) -> NDArray[np.uint8]:
    """Return a picture of the points of a GLB, without the ceiling, from above its corner."""
    clouds = trimesh.load_scene(glb).geometry.values()
    [points] = [cloud for cloud in clouds if isinstance(cloud, trimesh.PointCloud)]
    xyz = np.asarray(points.vertices, np.float32)
    below_ceiling = xyz[:, 1] < np.percentile(xyz[:, 1], 99) - 0.2
    xyz, rgb = xyz[below_ceiling], np.asarray(points.colors)[below_ceiling, :3]
    cloud = round_gaussians(xyz, rgb, np.full(len(xyz), POINT_M), 0.9, (1, 1, len(xyz)))
    centre = np.median(xyz, axis=0)
    extent = float(np.linalg.norm(np.ptp(xyz, axis=0)))
    pose = looking_at(centre + extent * np.array([-0.4, 0.75, 0.35]), centre)
    focal = 0.95 * FROM_ABOVE.width
    camera = PinholeCamera.from_focal(
        focal, focal, FROM_ABOVE.width / 2, FROM_ABOVE.height / 2, FROM_ABOVE
    )
    [image] = cpu_backend(cloud)([PosedCamera(pose, camera)])
    white = image.colour + (1 - image.alpha[..., None])
    return np.asarray(255 * np.clip(white, 0, 1), np.uint8)


def looking_at(eye: FloatArray, target: FloatArray) -> FloatArray:
    """Return the pose (4, 4) of a camera in a world with y up."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    return pose


def frame_of(video: Path, index: int) -> NDArray[np.uint8]:
    """Return one frame of a video, RGB."""
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
    return np.asarray(frames[index], np.uint8)


def _write(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = np.ascontiguousarray(image[..., ::-1])
    if not cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, 90]):
        raise OSError(f'{path}: cannot write the picture')
    print(f'{path}: {image.shape[1]} x {image.shape[0]}')


if __name__ == '__main__':
    main()
