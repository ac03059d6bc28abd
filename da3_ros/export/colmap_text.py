"""A COLMAP model as its five text files; numbers survive a round trip to the bit.

Source: COLMAP documentation, "Output Format", section "Text Format".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from da3_ros.errors import ExportError
from da3_ros.export.colmap_model import PINHOLE, ColmapImage, ColmapModel
from da3_ros.foreign import plain_line

# What COLMAP's reader skips, and a human needs.
_HEADERS = {
    'rigs': 'rig id, sensors, type and id of the reference sensor',
    'cameras': 'camera id, model, width, height, fx, fy, cx, cy',
    'frames': 'frame id, rig id, rig_from_world qw qx qy qz tx ty tz, data: count, type, ids',
    'images': 'image id, camera_from_world qw qx qy qz tx ty tz, camera id, name; x, y, point',
    'points3D': 'point id, x, y, z, red, green, blue, error in pixels, track: image id, key point',
}


def write_model(model: ColmapModel, folder: Path, progress: Callable[[float], None]) -> None:
    """Write rigs, cameras, frames, images and points3D into the folder.

    Raises:
        ExportError: the name of an image has a line break, which its line cannot have.
    """
    for image in model.images:
        if len(image.name.splitlines()) > 1:
            raise ExportError(
                f'colmap: {plain_line(image.name)}: a line break in a name cannot be written as '
                'text; write binary files, or rename the image'
            )
    parts: dict[str, list[Iterator[str]]] = {
        'rigs': [_rigs(model)],
        'cameras': [_cameras(model)],
        'frames': [_frames(model)],
        'images': [_image(image) for image in model.images],
        'points3D': [_points(image) for image in model.images],
    }
    count, done = sum(map(len, parts.values())), 0
    for name, blocks in parts.items():
        path = folder / f'{name}.txt'
        # Names of files are bytes, and need not be UTF-8.
        with path.open('w', encoding='utf-8', errors='surrogateescape', newline='\n') as file:
            file.write(f'# {_HEADERS[name]}\n')
            if model.comment:
                file.write(f'# {model.comment}\n')
            for lines in blocks:
                file.writelines(f'{line}\n' for line in lines)
                done += 1
                progress(done / count)


def _rigs(model: ColmapModel) -> Iterator[str]:
    for camera in model.cameras:
        yield f'{camera.camera_id} 1 CAMERA {camera.camera_id}'


def _cameras(model: ColmapModel) -> Iterator[str]:
    for camera in model.cameras:
        size = f'{camera.size.width} {camera.size.height}'
        yield f'{camera.camera_id} {PINHOLE} {size} {_numbers(camera.params)}'


def _frames(model: ColmapModel) -> Iterator[str]:
    for image in model.images:
        data = f'1 CAMERA {image.camera_id} {image.image_id}'
        yield f'{image.image_id} {image.camera_id} {_numbers(image.pose)} {data}'


def _image(image: ColmapImage) -> Iterator[str]:
    yield f'{image.image_id} {_numbers(image.pose)} {image.camera_id} {image.name}'
    key_points = zip(image.pixels.tolist(), image.point_ids.tolist(), strict=True)
    yield ' '.join(f'{x!r} {y!r} {point}' for (x, y), point in key_points)


def _points(image: ColmapImage) -> Iterator[str]:
    points = zip(image.point_ids.tolist(), image.xyz.tolist(), image.rgb.tolist(), strict=True)
    for key_point, (point_id, (x, y, z), (red, green, blue)) in enumerate(points):
        place = f'{point_id} {x!r} {y!r} {z!r} {red} {green} {blue}'
        yield f'{place} 0 {image.image_id} {key_point}'


def _numbers(values: tuple[float, ...]) -> str:
    return ' '.join(map(repr, values))
