"""`da3 synthesize`: a synthetic room as a recording with its truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.table_options import takes_options
from da3_ros.foreign import plain_path
from da3_ros.options.scenes import BagOptions
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.geometry.camera import ImageSize
    from da3_ros.sinks.camera_bag import CameraBagWriter
    from da3_ros.synthetic import SyntheticWorld


ODOMETRY_FRAME = 'odom'
"""Fixed frame of the odometry that is written."""


@takes_options(Entrance.BAGS)
def synthesize(
    out: Annotated[Path, typer.Argument(help='OUT.mcap or OUT.db3 for one file, else a folder.')],
    bag_options: BagOptions,
    overwrite: bool,
    seconds: Annotated[float, typer.Option(help='Length of the recording.')] = 10.0,
    rate: Annotated[float, typer.Option(help='Images per second and camera.')] = 10.0,
    size: Annotated[str, typer.Option(help='WIDTHxHEIGHT of the images.')] = '640x480',
    seed: Annotated[int, typer.Option(min=0, help='Number of the room.')] = 0,
    cameras: Annotated[
        str, typer.Option(help='Comma-separated: front, left, right, back.')
    ] = 'front,left,right',
    truth: Annotated[
        bool, typer.Option(help='Write /truth/odometry and /truth/CAMERA/depth (half size).')
    ] = True,
    odometry: Annotated[
        bool, typer.Option(help='Write /tf from odom to base_link, drifting as of wheels.')
    ] = True,
    supersample: Annotated[
        int, typer.Option(min=1, max=4, help='Colour samples per side of a pixel.')
    ] = 1,
) -> None:
    """Render a drive through a furnished room to a ROS 2 bag, with exact poses and depth."""
    from da3_ros.cli.process import unwind_on_terminate
    from da3_ros.sinks.camera_bag import CameraBagWriter
    from da3_ros.synthetic import START_NS, make_family_world
    from da3_ros.synthetic.wheels import odom_from_base

    if seconds <= 0 or rate <= 0:
        raise typer.BadParameter(f'expected positive --seconds and --rate, got {seconds}, {rate}')
    names = [name.strip() for name in cameras.split(',')]
    world = make_family_world(seed, parse_size(size), names)
    stamps = [START_NS + round(i * 1e9 / rate) for i in range(max(1, int(seconds * rate + 1e-9)))]
    with (
        unwind_on_terminate(),
        CameraBagWriter(
            out,
            storage=bag_options.storage,
            is_compressed=bag_options.compressed,
            overwrite=overwrite,
        ) as bag,
    ):
        frame_ids = {name: world.rig.frame_id(name) for name in names}
        bag.write_rig(world.rig.calibration, frame_ids, stamps[0])
        for stamp_ns in _with_progress(stamps):
            _write_instant(bag, world, stamp_ns, supersample, truth)
            if odometry:
                pose = odom_from_base(world, stamp_ns)
                bag.write_transform(stamp_ns, ODOMETRY_FRAME, 'base_link', pose)
    print(f'wrote {bag.message_count} messages, {len(stamps)} instants to {plain_path(out)}')


def parse_size(text: str) -> ImageSize:
    """Return the size named by WIDTHxHEIGHT.

    Raises:
        BadParameter: it is none.
    """
    from da3_ros.geometry.camera import ImageSize

    match = re.fullmatch(r'([1-9]\d{0,4})x([1-9]\d{0,4})', text.strip())
    if match is None:
        raise typer.BadParameter(f'expected a size like 640x480, got {text!r}')
    return ImageSize(height=int(match[2]), width=int(match[1]))


def _with_progress(stamps: list[int]) -> Iterator[int]:
    from tqdm import tqdm

    yield from tqdm(stamps, unit='set', desc='rendering', disable=None)


def _write_instant(
    bag: CameraBagWriter, world: SyntheticWorld, stamp_ns: int, supersample: int, truth: bool
) -> None:
    from da3_ros.geometry.camera import ImageSize
    from da3_ros.sinks.camera_bag import truth_depth_topic
    from da3_ros.types import CameraFrame

    for camera in world.rig.cameras:
        view = world.render(camera, stamp_ns, supersample=supersample)
        frame_id = world.rig.frame_id(camera)
        bag.write_frame(CameraFrame(camera, stamp_ns, frame_id, view.image, view.camera))
        if truth:
            half = ImageSize(
                max(1, view.camera.size.height // 2), max(1, view.camera.size.width // 2)
            )
            depth = world.depth(camera, stamp_ns, half)
            bag.write_depth(truth_depth_topic(camera), stamp_ns, frame_id, depth)
    if truth:
        bag.write_odometry(stamp_ns, world.world_from_base(stamp_ns))
