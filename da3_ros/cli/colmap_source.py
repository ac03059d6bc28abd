"""A COLMAP dataset on the command line: images with known cameras become one scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
import unicodedata

from da3_ros.cli.input_images import FOLDER, save_image, staged_images
from da3_ros.cli.scene_run import SceneInput
from da3_ros.cli.video_frames import Shrink
from da3_ros.cli.view_check import Extent

if TYPE_CHECKING:
    from da3_ros.sources.colmap import ColmapDataset


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

    def extent(self, *, exact: bool = False) -> Extent:
        """Return the sizes by the headers of the files."""
        from da3_ros.sources.images import read_header

        del exact
        views = self._dataset.views
        sizes = frozenset(read_header(v.path).stored_size for v in views)
        return Extent(len(views), sizes, has_poses=True)

    def fewer(self, most: int) -> str:
        """Only another model has fewer images."""
        del most
        return 'a model of fewer images'

    @contextmanager
    def open(self, export_dir: Path, *, shrink: Shrink, most: int | None) -> Iterator[SceneInput]:
        """Yield the images; those of distorted cameras rectified, in `input_images/`."""
        del shrink, most
        import numpy as np
        from tqdm import tqdm

        from da3_ros.inference.pixel_rule import corner_matrices
        from da3_ros.sources.colmap import PinholeImages

        views = self._dataset.views
        made = PinholeImages()
        needs_folder = any(made.changes(view) for view in views)
        with staged_images(export_dir, keep=needs_folder) as folder:
            paths, cameras = [], []
            names = file_names([view.name for view in views])
            bar = tqdm(views, unit='img', desc='reading', disable=None)
            for view, name in zip(bar, names, strict=True):
                found = made.of(view)
                cameras.append(found.camera)
                if isinstance(found.image, Path):
                    paths.append(str(found.image))
                    continue
                paths.append(str(folder / name))
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
        missing, repeated = self._dataset.missing, self._dataset.repeated
        if missing:
            notes.append(f'{len(missing)} images of the model are missing, e.g. {missing[0]}')
        if repeated:
            notes.append(
                f'{len(repeated)} images are listed more than once in the model, e.g. '
                f'{repeated[0]}; the first entry was taken'
            )
        if rectified:
            kinds = ', '.join(sorted(rectified))
            notes.append(f'distorted images ({kinds}) were rectified into {FOLDER}/')
        return tuple(notes)


def file_names(names: Sequence[str]) -> list[str]:
    """Return a PNG's relative name for every image, different ones also where case is ignored.

    Args:
        names: of the images, relative, all different.
    """
    paths = [PurePosixPath(name) for name in names]
    plain = [path.with_suffix('.png') for path in paths]
    count = Counter(map(_key, plain))
    # A folder of one image may have the name of another image's file.
    taken = {_key(parent) for path in plain for parent in path.parents}
    chosen = []
    for path, candidate in zip(paths, plain, strict=True):
        number = 0
        while _key(candidate) in taken or (number == 0 and count[_key(candidate)] > 1):
            number += 1
            candidate = path.with_name(f'{path.name}{"" if number == 1 else f".{number}"}.png')
        taken.add(_key(candidate))
        chosen.append(str(candidate))
    return chosen


def _key(path: PurePosixPath) -> str:
    """Return what a file system may take a name for."""
    return unicodedata.normalize('NFC', str(path)).casefold()
