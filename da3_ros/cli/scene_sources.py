"""What users name on the command line as scenes: an image, a folder, a video, COLMAP's output.

Making a source checks that its input is there, its extent is known before anything is decoded;
opening it reads the images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from da3_ros.cli.colmap_source import ColmapSource
from da3_ros.cli.scene_run import SceneInput
from da3_ros.cli.video_frames import Shrink
from da3_ros.cli.video_source import VideoSource
from da3_ros.cli.view_check import FEWER_IMAGES, Extent, Measured, sizes_of
from da3_ros.errors import SourceError

VIDEO_SUFFIXES = (
    *('.mp4', '.avi', '.mov', '.mkv', '.flv', '.wmv', '.webm', '.m4v', '.gif', '.mpg', '.mpeg'),
    *('.ts', '.mts', '.m2ts', '.3gp', '.ogv'),
)


class SceneSource(Measured, Protocol):
    """One scene that can be opened."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files and folders that are read."""
        ...

    def open(
        self, export_dir: Path, *, shrink: Shrink, most: int | None
    ) -> AbstractContextManager[SceneInput]:
        """Return the images; what is made of them along the way goes into `export_dir`.

        Args:
            export_dir: of the results.
            shrink: what is kept in memory of an image that is not read from a file.
            most: views; more are refused. None for no limit.
        """
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

    def extent(self, *, exact: bool = False) -> Extent:
        """Return the size of the image."""
        del exact
        return Extent(1, sizes_of([self.path]))

    def fewer(self, most: int) -> str:
        """There is nothing less than one image."""
        del most
        return 'a smaller image'

    @contextmanager
    def open(self, export_dir: Path, *, shrink: Shrink, most: int | None) -> Iterator[SceneInput]:
        """Yield the image."""
        del export_dir, shrink, most
        yield SceneInput(self.path, [str(self.path)])


class ImageFiles:
    """Image files that are one scene.

    Args:
        path: what the user named.
        files: in the order of the views.
        notes: what a user should know about them.
    """

    def __init__(self, path: Path, files: tuple[Path, ...], notes: tuple[str, ...]) -> None:
        self.path = path
        self.files = files
        self.notes = notes

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The images."""
        return self.files

    def extent(self, *, exact: bool = False) -> Extent:
        """Return the sizes by the headers of the files."""
        del exact
        return Extent(len(self.files), sizes_of(self.files))

    def fewer(self, most: int) -> str:
        """Return which part of the images fits."""
        del most
        return FEWER_IMAGES

    @contextmanager
    def open(self, export_dir: Path, *, shrink: Shrink, most: int | None) -> Iterator[SceneInput]:
        """Yield the images."""
        del export_dir, shrink, most
        yield SceneInput(self.path, [str(path) for path in self.files], notes=self.notes)


class FolderSource(ImageFiles):
    """The images of a folder, in the order of their names."""

    def __init__(self, path: Path, suffixes: Sequence[str] | None = None) -> None:
        from da3_ros.sources.images import IMAGE_SUFFIXES, find_images

        found = find_images(path, IMAGE_SUFFIXES if suffixes is None else suffixes)
        super().__init__(path, found.files, found.notes)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The folder and its images."""
        return (self.path, *self.files)


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
