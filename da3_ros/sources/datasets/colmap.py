"""COLMAP models as datasets: poses and intrinsics by reconstruction, no stamps, no metres.

Images are in the order of their names, image i at i seconds. Poses are those of the model, in its
unit. COLMAP puts the centre of the first pixel at (0.5, 0.5), which is converted, and its
distortions are undone on reading. An image of another size than its camera is a resized one, as
are all others of that camera.

Source: COLMAP documentation, "Output Format"; `sources.colmap`.
"""

from __future__ import annotations

from pathlib import Path

from da3_ros.errors import SourceError
from da3_ros.foreign import plain_line
from da3_ros.geometry.se3 import invert
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.sources.colmap import ColmapDataset, looks_like_colmap, read_colmap
from da3_ros.sources.colmap_cameras import ColmapCamera
from da3_ros.sources.datasets.dataset import Dataset, DatasetFrame
from da3_ros.sources.datasets.intrinsics import has_aspect
from da3_ros.sources.datasets.kind import Kind
from da3_ros.sources.images import read_header
from da3_ros.sources.trajectory_files import STEP_NS

CAMERA = 'camera'


def is_it(path: Path) -> bool:
    """Return whether a folder has the layout."""
    return looks_like_colmap(path)


def read(path: Path) -> Dataset:
    """Open a model and its images.

    Raises:
        SourceError: there is no model, it is damaged, or none of its images is there.
    """
    model = read_colmap(path)
    notes = _notes(model)
    lenses: dict[ColmapCamera, ColmapCamera | None] = {}
    for view in model.views:
        if view.camera not in lenses:
            lenses[view.camera] = _lens(view.camera, view.path, notes)
    poses = invert([view.camera_from_world for view in model.views])
    stamps = [index * STEP_NS for index in range(len(poses))]
    return Dataset(
        path.resolve().name,
        'colmap',
        (CAMERA,),
        tuple(
            DatasetFrame(CAMERA, stamp, view.path, lenses[view.camera], pose, None)
            for stamp, view, pose in zip(stamps, model.views, poses, strict=True)
        ),
        tuple(StampedPose(stamp, pose) for stamp, pose in zip(stamps, poses, strict=True)),
        CAMERA,
        notes=tuple(notes),
        is_stamped=False,
        is_metric=False,
    )


def _lens(camera: ColmapCamera, first: Path, notes: list[Note]) -> ColmapCamera | None:
    """Return a camera at the size of its images; None where they have another aspect ratio."""
    try:
        seen = read_header(first).stored_size
    except SourceError:
        return camera  # a damaged image says so where it is read
    if seen == camera.size:
        return camera
    if has_aspect(seen, camera.size):
        return camera.resized(seen)
    text = (
        f'{camera.described} is of {camera.size.width}x{camera.size.height}, its images of '
        f'{seen.width}x{seen.height} are no resized ones; they have no intrinsics'
    )
    notes.append(Note('dataset_calibration', text))
    return None


def _notes(model: ColmapDataset) -> list[Note]:
    stamps = 'there are no stamps: image i, by name, is put at i seconds'
    notes = [Note('dataset_stamps', stamps)]
    if model.missing:
        text = (
            f'{len(model.missing)} images of the model are missing, first '
            f'{plain_line(model.missing[0], 100)}'
        )
        notes.append(Note('dataset_files_missing', text, {'files': len(model.missing)}))
    if model.repeated:
        text = (
            f'the model lists {len(model.repeated)} images again, first '
            f'{plain_line(model.repeated[0], 100)}; the first entry counts'
        )
        notes.append(Note('dataset_lines_left_out', text, {'lines': len(model.repeated)}))
    return notes


KIND = Kind('colmap', 'images, and a model in sparse', is_it, read)
