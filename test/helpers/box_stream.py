"""A stream through a box of known walls: what `da3 stream` makes of it can be checked exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Any

import numpy as np

from da3_ros.cli.reporting import Report
from da3_ros.cli.stream_job import make_job, run_job
from da3_ros.cli.stream_options import StreamRequest
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.options import EstimatorOptions, StreamOptions
from da3_ros.options.export import ContentOptions, GlbOptions, ResultOptions
from da3_ros.options.scenes import InputOptions, RunOptions
from da3_ros.options.streaming import StreamFileOptions, StreamInputOptions
from da3_ros.options.table import Entrance, defaults_at
from da3_ros.types import CameraFrame, RigCalibration
from helpers.stream_builders import PERIOD_NS, THREE_CAMERAS, BoxEstimator, BoxWorld

CAMERA = 'front'
WORLD = BoxWorld(THREE_CAMERAS)
SIZE = WORLD.camera.size
START_NS = 1_000_000_000


def true_pose(number: int, camera: str = CAMERA) -> FloatArray:
    """Return where a camera is at a frame, in the world of frame 0, metres."""
    first = WORLD.world_from_camera(CAMERA, stamp_ns(0))
    return np.asarray(np.linalg.inv(first) @ WORLD.world_from_camera(camera, stamp_ns(number)))


def stamp_ns(number: int) -> int:
    return START_NS + number * PERIOD_NS


@dataclass(eq=False)
class BoxStream:
    """Frames of cameras that drive through the box; every instant has a colour of its own."""

    count: int
    cameras: tuple[str, ...] = (CAMERA,)
    path: Path = Path('box')
    rig: RigCalibration = field(default_factory=RigCalibration)
    size: ImageSize = SIZE
    inputs: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def frames_expected(self) -> int:
        return self.count * len(self.cameras)

    @property
    def span_ns(self) -> tuple[int, int]:
        return stamp_ns(0), stamp_ns(self.count - 1)

    @property
    def stamps_ns(self) -> tuple[int, ...] | None:
        return tuple(stamp_ns(number) for number in range(self.count))

    @property
    def identity(self) -> str:
        return f'{self.count} frames'

    def frames(self, shrink: object) -> Iterator[tuple[int, CameraFrame]]:
        del shrink
        for number in range(self.count):
            image = np.full((SIZE.height, SIZE.width, 3), number % 256, np.uint8)
            for camera in self.cameras:
                frame_id = f'{camera}_optical_frame'
                yield number, CameraFrame(camera, stamp_ns(number), frame_id, image)


def request(out: Path, **values: Any) -> StreamRequest:
    """Return the options of `da3 stream` with some other values, by their names."""
    groups = {
        'network': EstimatorOptions,
        'stream': StreamOptions,
        'reading': InputOptions,
        'input': StreamInputOptions,
        'run': RunOptions,
        'content': ContentOptions,
        'glb': GlbOptions,
        'results': ResultOptions,
        'files': StreamFileOptions,
    }
    made: dict[str, Any] = {
        name: defaults_at(group, Entrance.STREAM) for name, group in groups.items()
    }
    wanted: Mapping[str, Any] = {
        'model': 'truth', 'device': 'cpu', 'export_dir': out, 'export_format': '', 'window': 6,
        'stride': 3, **values,
    }  # fmt: skip
    return StreamRequest(**made).with_values(wanted, 'test')


def run(
    out: Path, count: int, estimator: Any = None, cameras: tuple[str, ...] = (), **values: Any
) -> Report:
    """Run a stream through the box and return its report; several cameras have their rig."""
    rig = RigCalibration({name: THREE_CAMERAS.base_from_camera[name] for name in cameras})
    source = BoxStream(count, cameras or (CAMERA,), rig=rig)
    job = make_job(source, request(out, **values), ())
    report = Report()
    run_job(job, report, estimator or BoxEstimator(WORLD))
    return report


def poses_of(out: Path) -> FloatArray:
    """Return what camera_poses.txt says, (N, 4, 4)."""
    lines = (out / 'camera_poses.txt').read_text(encoding='ascii').splitlines()
    return np.array([[float(x) for x in line.split()] for line in lines]).reshape(-1, 4, 4)


def unit_of(poses: FloatArray) -> float:
    """Return how many units of poses a metre is."""
    truth = np.array([true_pose(n) for n in range(len(poses))])
    lengths = np.linalg.norm(truth[:, :3, 3], axis=1)
    return float(np.linalg.norm(poses[:, :3, 3], axis=1).sum() / lengths.sum())


def in_metres(poses: FloatArray) -> FloatArray:
    """Return poses with their unit made that of the truth."""
    scaled: FloatArray = poses.copy()
    scaled[:, :3, 3] /= unit_of(poses)
    return scaled


def bytes_of(out: Path) -> dict[str, bytes]:
    """Return every file of a folder of results but the record of them."""
    names = {p.relative_to(out).as_posix(): p for p in sorted(out.rglob('*')) if p.is_file()}
    return {name: path.read_bytes() for name, path in names.items() if name[0] != '.'}


def summary_of(out: Path) -> dict[str, Any]:
    content = json.loads((out / 'stream.json').read_text(encoding='utf-8'))
    assert isinstance(content, dict)
    return content
