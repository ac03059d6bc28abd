"""What users name on the command line as scenes: an image, a folder, a video, COLMAP's output.

Making a source checks that its input is there; opening it reads the images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
import math
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

import typer

from da3_ros.cli.input_images import FOLDER, save_image, staged_images
from da3_ros.cli.reporting import say
from da3_ros.cli.scene_run import SceneInput
from da3_ros.errors import SourceError

if TYPE_CHECKING:
    from da3_ros.sources.colmap import ColmapDataset

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.flv', '.wmv', '.webm', '.m4v')


class SceneSource(Protocol):
    """One scene that can be opened."""

    path: Path
    """What the user named."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files and folders that are read."""
        ...

    def open(self, export_dir: Path) -> AbstractContextManager[SceneInput]:
        """Return the images; what is made of them along the way goes into `export_dir`."""
        ...


class ImageSource:
    """One image."""

    def __init__(self, path: Path) -> None:
        from da3_ros.sources.images import read_header

        read_header(path)
        self.path = path

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The image."""
        return (self.path,)

    @contextmanager
    def open(self, export_dir: Path) -> Iterator[SceneInput]:
        """Yield the image."""
        del export_dir
        yield SceneInput(self.path, [str(self.path)])


class FolderSource:
    """The images of a folder, in the order of their names."""

    def __init__(self, path: Path, suffixes: Sequence[str] | None = None) -> None:
        from da3_ros.sources.images import IMAGE_SUFFIXES, find_images

        self.path = path
        found = find_images(path, IMAGE_SUFFIXES if suffixes is None else suffixes)
        self.files, self._notes = found.files, found.notes

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The folder and its images."""
        return (self.path, *self.files)

    @contextmanager
    def open(self, export_dir: Path) -> Iterator[SceneInput]:
        """Yield the images."""
        del export_dir
        yield SceneInput(self.path, [str(path) for path in self.files], notes=self._notes)


class VideoSource:
    """Frames of a video, evenly spaced in time."""

    def __init__(self, path: Path, fps: float, *, keep_frames: bool) -> None:
        from da3_ros.sources.video import VideoReader

        if not 0 < fps < math.inf:
            raise typer.BadParameter(f'--fps: expected more than 0, got {fps}')
        self.path = path
        self._keep = keep_frames
        self._fps = fps
        self._reader = VideoReader(path, rate_hz=fps)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The video."""
        return (self.path,)

    @contextmanager
    def open(self, export_dir: Path) -> Iterator[SceneInput]:
        """Yield the frames, written to `input_images/` without loss."""
        from tqdm import tqdm

        info = self._reader.info
        notes = []
        if info.rate_hz is not None and self._fps > info.rate_hz:
            notes.append(f'the video has only {info.rate_hz:g} frames per second; all were taken')
        expected = None
        if info.duration_s is not None:
            expected = math.ceil(info.duration_s * min(self._fps, info.rate_hz or self._fps))
        with staged_images(export_dir, keep=self._keep) as folder:
            paths = []
            with tqdm(total=expected, unit='img', desc='reading', disable=None) as bar:
                for number, frame in enumerate(self._reader.frames()):
                    paths.append(folder / f'{number:06d}.png')
                    save_image(paths[-1], frame.image)
                    bar.update()
            say(f'{self.path}: {len(paths)} frames')
            yield SceneInput(self.path, [str(path) for path in paths], notes=tuple(notes))


class ColmapSource:
    """Images with known cameras."""

    def __init__(self, path: Path, sparse_subdir: str, *, align_to_input_ext_scale: bool) -> None:
        from da3_ros.sources.colmap import read_colmap

        self.path = path
        self._align = align_to_input_ext_scale
        self._dataset: ColmapDataset = read_colmap(path, sparse_subdir)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The folders of the dataset and its images."""
        images = (view.path for view in self._dataset.views)
        return (self.path, self._dataset.model_folder, *images)

    @contextmanager
    def open(self, export_dir: Path) -> Iterator[SceneInput]:
        """Yield the images; those of distorted cameras rectified, in `input_images/`."""
        import numpy as np
        from tqdm import tqdm

        from da3_ros.inference.pixel_rule import corner_matrices
        from da3_ros.sources.colmap import PinholeImages

        views = self._dataset.views
        made = PinholeImages()
        needs_folder = any(made.changes(view) for view in views)
        with staged_images(export_dir, keep=needs_folder) as folder:
            paths, cameras = [], []
            for view in tqdm(views, unit='img', desc='reading', disable=None):
                found = made.of(view)
                cameras.append(found.camera)
                if isinstance(found.image, Path):
                    paths.append(str(found.image))
                    continue
                paths.append(str(folder / PurePosixPath(view.name).with_suffix('.png')))
                save_image(Path(paths[-1]), found.image)
            yield SceneInput(
                self.path,
                paths,
                extrinsics=np.stack([view.camera_from_world for view in views]),
                intrinsics=corner_matrices(cameras),
                align_to_input_ext_scale=self._align,
                notes=self._notes(made.rectified),
            )

    def _notes(self, rectified: set[str]) -> tuple[str, ...]:
        notes = []
        missing = self._dataset.missing
        if missing:
            notes.append(f'{len(missing)} images of the model are missing, e.g. {missing[0]}')
        if rectified:
            kinds = ', '.join(sorted(rectified))
            notes.append(f'distorted images ({kinds}) were rectified into {FOLDER}/')
        return tuple(notes)


def detect(
    path: Path,
    *,
    fps: float,
    sparse_subdir: str,
    align_to_input_ext_scale: bool,
    keep_frames: bool,
) -> tuple[str, SceneSource]:
    """Return which command an input is for, and its source.

    Raises:
        SourceError: it is none of the kinds of input; says what there is.
    """
    from da3_ros.sources.colmap import looks_like_colmap
    from da3_ros.sources.images import IMAGE_SUFFIXES, has_images

    if not path.exists():
        raise SourceError(f'{path}: expected an image, a video or a folder, there is nothing')
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            return 'image', ImageSource(path)
        if suffix in VIDEO_SUFFIXES:
            return 'video', VideoSource(path, fps, keep_frames=keep_frames)
        raise SourceError(
            f'{path}: expected an image ({", ".join(IMAGE_SUFFIXES)}) or a video '
            f'({", ".join(VIDEO_SUFFIXES)}); `da3 video` takes any file that FFmpeg reads'
        )
    if looks_like_colmap(path):
        return 'colmap', ColmapSource(
            path, sparse_subdir, align_to_input_ext_scale=align_to_input_ext_scale
        )
    if has_images(path):
        return 'images', FolderSource(path)
    scenes = sorted(p for p in path.iterdir() if p.is_dir() and has_images(p))
    hint = f'; {len(scenes)} of its folders do: da3 images {path}/*' if scenes else ''
    raise SourceError(
        f'{path}: expected images in it, or the folders images and sparse of COLMAP{hint}'
    )
