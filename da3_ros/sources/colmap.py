"""A COLMAP dataset: images, where they were taken, and the cameras that took them."""

from __future__ import annotations

from dataclasses import dataclass
import logging
from pathlib import Path, PurePosixPath, PureWindowsPath
import unicodedata

import numpy as np

from da3_ros.errors import GeometryError, SourceError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.options.scenes import INPUT
from da3_ros.sources.colmap_cameras import ColmapCamera
from da3_ros.sources.colmap_files import StoredImage, model_suffix, read_cameras, read_images
from da3_ros.sources.images import read_header, read_stored
from da3_ros.sources.rectification import Rectification, rectify
from da3_ros.types import ColourImage

# Sides of a resized image are whole pixels: the aspect ratio changes by that much.
_ASPECT_PX = 1.5

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ColmapView:
    """One image of a dataset, with its pose."""

    name: str
    """Relative to the folder of images, as the model has it."""
    path: Path
    camera: ColmapCamera
    camera_from_world: FloatArray
    """(4, 4), in the model's unit."""


@dataclass(frozen=True, slots=True, eq=False)
class ColmapDataset:
    """The images of a COLMAP model that exist."""

    folder: Path
    model_folder: Path
    views: tuple[ColmapView, ...]
    """Sorted by name; at least one."""
    missing: tuple[str, ...]
    """Names of the model's images that are not in the folder of images, sorted."""
    repeated: tuple[str, ...] = ()
    """Names that the model lists more than once, sorted; the first entry counts."""


@dataclass(frozen=True, slots=True, eq=False)
class PinholeImage:
    """A view as the image of a pinhole camera."""

    image: Path | ColourImage
    """The file as it is, or the rectified pixels where it was not a pinhole camera's."""
    camera: PinholeCamera
    """Of the image."""


def read_colmap(folder: Path, sparse_subdir: str = INPUT.sparse_subdir) -> ColmapDataset:
    """Read `<folder>/images` and the model in `<folder>/sparse[/<subdir>]`.

    Where that holds no model, its `0` does, or the folder itself.

    Args:
        folder: the dataset.
        sparse_subdir: folder of the model inside `sparse`.

    Raises:
        SourceError: there is no model, it is damaged, or none of its images is there.
    """
    model_folder = _find_model(folder, sparse_subdir)
    suffix = model_suffix(model_folder)
    cameras = read_cameras(model_folder / f'cameras{suffix}')
    entries = read_images(model_folder / f'images{suffix}')
    images = folder / 'images'
    views, missing, repeated = [], [], []
    seen: set[Path] = set()
    for entry in sorted(entries, key=lambda entry: entry.name):
        path = _find_image(images, _safe(entry.name, model_folder))
        if path is None:
            missing.append(entry.name)
            continue
        if path in seen:
            repeated.append(entry.name)
            continue
        seen.add(path)
        if entry.camera_id not in cameras:
            raise SourceError(
                f'{model_folder}: image {entry.name}: its camera {entry.camera_id} is not '
                'among the cameras'
            )
        views.append(ColmapView(entry.name, path, cameras[entry.camera_id], _pose(entry)))
    if not views:
        raise SourceError(
            f'{folder}: none of the {len(entries)} images of the model in {model_folder} is in '
            f'{images}'
        )
    return ColmapDataset(folder, model_folder, tuple(views), tuple(missing), tuple(repeated))


def looks_like_colmap(folder: Path) -> bool:
    """Return whether a folder has the layout of a COLMAP dataset."""
    return (folder / 'images').is_dir() and (folder / 'sparse').is_dir()


class PinholeImages:
    """Makes pinhole images of the views of a dataset; cameras are rectified once each."""

    def __init__(self) -> None:
        self._made: dict[ColmapCamera, Rectification] = {}
        self.rectified: set[str] = set()
        """Camera models whose distortion was undone."""

    @staticmethod
    def changes(view: ColmapView) -> bool:
        """Return whether the image of a view has to be changed, so that `of` decodes it.

        Raises:
            SourceError: the image is no image.
        """
        return view.camera.is_distorted or not read_header(view.path).is_upright

    def of(self, view: ColmapView) -> PinholeImage:
        """Return a view as the image of a pinhole camera.

        Calibration is by the pixels as they are stored: an EXIF orientation is not applied. An
        image of another size than its camera is taken for a resized one.

        Raises:
            SourceError: the image is damaged, its aspect ratio is not that of its camera, or the
                distortion cannot be undone.
        """
        header = read_header(view.path)
        camera = view.camera
        if header.stored_size != camera.size:
            self._check_aspect(view, header.stored_size.width, header.stored_size.height)
            camera = camera.resized(header.stored_size)
        if not camera.is_distorted:
            image = view.path if header.is_upright else read_stored(view.path)
            return PinholeImage(image, camera.pinhole)
        if camera not in self._made:
            self._made[camera] = rectify(camera)
        self.rectified.add(camera.model)
        made = self._made[camera]
        return PinholeImage(made.apply(read_stored(view.path)), made.camera)

    @staticmethod
    def _check_aspect(view: ColmapView, width: int, height: int) -> None:
        expected = view.camera.size
        error_px = abs(width * expected.height / expected.width - height)
        if error_px > _ASPECT_PX:
            raise SourceError(
                f'{view.path}: expected {expected.width}x{expected.height} as its camera '
                f'{view.camera.camera_id}, or the same resized, got {width}x{height}'
            )


def _find_model(folder: Path, sparse_subdir: str) -> Path:
    if not folder.is_dir():
        raise SourceError(f'COLMAP dataset {folder}: expected a folder, there is none')
    if not (folder / 'images').is_dir():
        raise SourceError(
            f'COLMAP dataset {folder}: expected a folder images in it, there is none'
        )
    sparse = folder / 'sparse' / sparse_subdir
    tried = [sparse] if sparse_subdir else [sparse, sparse / '0', folder]
    for candidate in tried:
        if model_suffix(candidate) is not None:
            others = sorted(p.name for p in sparse.glob('[1-9]*') if p.is_dir())
            if candidate == sparse / '0' and others:
                _LOG.warning(
                    '%s: model 0 is used; there are also %s (--sparse-subdir chooses)',
                    sparse, ', '.join(others),
                )  # fmt: skip
            return candidate
    raise SourceError(
        f'COLMAP dataset {folder}: expected cameras and images (.bin or .txt) in '
        f'{" or ".join(map(str, tried))}; there is no model'
    )


def _safe(name: str, model_folder: Path) -> str:
    """Return an image's name unless it leads out of the folder of images."""
    for pure in (PurePosixPath(name), PureWindowsPath(name)):
        if not name or pure.is_absolute() or pure.drive or '..' in pure.parts:
            raise SourceError(
                f'{model_folder}: expected names of images inside the folder, got {name!r}'
            )
    return name


def _find_image(images: Path, name: str) -> Path | None:
    """Return the file of an image, None where there is none.

    Models made on Windows may part folders by a backslash, and those made on macOS hold accents
    as letters of their own.
    """
    for spelling in (name, name.replace('\\', '/')):
        for form in (spelling, *(unicodedata.normalize(f, spelling) for f in ('NFC', 'NFD'))):
            # As text, `a/./b` and `a//b` are `a/b`.
            path = images / PurePosixPath(form)
            if path.is_file():
                return path
    return None


def _pose(entry: StoredImage) -> FloatArray:
    w, x, y, z, *translation = entry.pose
    pose = np.eye(4)
    try:
        with np.errstate(over='ignore'):
            pose[:3, :3] = matrix_from_quaternion_xyzw([x, y, z, w])
    except GeometryError as error:
        raise SourceError(f'image {entry.name}: its orientation is none: {error}') from error
    pose[:3, 3] = translation
    if not np.isfinite(pose).all():
        raise SourceError(f'image {entry.name}: expected a finite pose, got {list(entry.pose)}')
    return pose
