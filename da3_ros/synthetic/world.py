"""Scene, rig and trajectory together: the world that recordings and tests are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from da3_ros.errors import StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.synthetic.render import RenderedView, Renderer
from da3_ros.synthetic.rig import DEFAULT_CAMERAS, SyntheticRig, make_rig
from da3_ros.synthetic.scene import Scene, make_scene
from da3_ros.synthetic.trajectory import START_NS, Trajectory
from da3_ros.types import CameraFrame, FloatImage


class ViewRenderer(Protocol):
    """Renders one scene from any camera."""

    def depth(self, camera: PinholeCamera, world_from_camera: FloatArray) -> FloatImage:
        """Return the exact depth image (H, W) in metres."""
        ...

    def render(
        self, camera: PinholeCamera, world_from_camera: FloatArray, supersample: int = 1
    ) -> RenderedView:
        """Return the image and its depth."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticWorld:
    """A scene, a robot with cameras in it, and its path; a pure function of the stamp."""

    rig: SyntheticRig
    trajectory: Trajectory
    renderer: ViewRenderer

    def world_from_base(self, stamp_ns: int) -> FloatArray:
        """Return the pose (4, 4) of the robot's base frame, metres."""
        return self.trajectory.world_from_base(stamp_ns)

    def world_from_camera(self, camera: str, stamp_ns: int) -> FloatArray:
        """Return the pose (4, 4) of a camera's optical frame, metres.

        Raises:
            StreamError: the rig has no such camera.
        """
        self.intrinsics(camera)
        base_from_camera = self.rig.calibration.base_from_camera[camera]
        return np.asarray(self.world_from_base(stamp_ns) @ base_from_camera)

    def intrinsics(self, camera: str, size: ImageSize | None = None) -> PinholeCamera:
        """Return the exact intrinsics of a camera, at its own size or another.

        Raises:
            StreamError: the rig has no such camera.
        """
        known = self.rig.cameras.get(camera)
        if known is None:
            raise StreamError(
                f'camera {camera}: not in the synthetic world, '
                f'whose cameras are {", ".join(self.rig.cameras)}'
            )
        return known if size is None else known.resized(size)

    def depth(self, camera: str, stamp_ns: int, size: ImageSize | None = None) -> FloatImage:
        """Return the exact depth (H, W) of a view, metres, without rendering its colour.

        Raises:
            StreamError: the rig has no such camera.
        """
        intrinsics = self.intrinsics(camera, size)
        return self.renderer.depth(intrinsics, self.world_from_camera(camera, stamp_ns))

    def render(
        self,
        camera: str,
        stamp_ns: int,
        size: ImageSize | None = None,
        *,
        supersample: int = 1,
    ) -> RenderedView:
        """Return what a camera sees at a stamp.

        Args:
            camera: one of the rig's.
            stamp_ns: any stamp; the robot's loop repeats.
            size: of the image, None for the rig's.
            supersample: colour samples per side of a pixel.

        Raises:
            StreamError: the rig has no such camera.
        """
        intrinsics = self.intrinsics(camera, size)
        pose = self.world_from_camera(camera, stamp_ns)
        return self.renderer.render(intrinsics, pose, supersample)

    def frame(self, camera: str, stamp_ns: int, size: ImageSize | None = None) -> CameraFrame:
        """Return the same view as a source would deliver it, calibrated.

        Raises:
            StreamError: the rig has no such camera.
        """
        view = self.render(camera, stamp_ns, size)
        return CameraFrame(camera, stamp_ns, self.rig.frame_id(camera), view.image, view.camera)


@dataclass(frozen=True, slots=True, eq=False)
class RoomWorld(SyntheticWorld):
    """The furnished room of `scene`."""

    scene: Scene


def make_world(
    seed: int = 0,
    size: ImageSize = ImageSize(480, 640),
    cameras: Sequence[str] = DEFAULT_CAMERAS,
) -> RoomWorld:
    """Return a world: equal arguments give equal worlds, to the bit.

    Args:
        seed: decides furniture, materials and where on its loop the robot starts.
        size: of every image.
        cameras: some of front, left, right, back, in the order of the rig.

    Raises:
        ConfigError: a camera that the robot does not have.
    """
    start_angle = float(np.random.default_rng((seed, 2)).uniform(0.0, 2 * np.pi))
    trajectory = Trajectory(start_angle_rad=start_angle)
    step_ns = round(trajectory.period_s * 1e9 / 200)
    stamps = [START_NS + step_ns * i for i in range(200)]
    path = np.stack([trajectory.world_from_base(stamp)[:3, 3] for stamp in stamps])
    scene = make_scene(seed, path)
    return RoomWorld(make_rig(size, cameras), trajectory, Renderer(scene, seed), scene)
