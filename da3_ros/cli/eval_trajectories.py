"""Trajectories from whatever a user names: files, bags, datasets, results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from da3_ros.cli.eval_bags import bag_part, bag_poses
from da3_ros.cli.eval_depth_sources import results_in
from da3_ros.cli.eval_results import result_poses
from da3_ros.errors import GeometryError, SourceError
from da3_ros.foreign import expanded, plain_path
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.metrics.association import are_among, associate, limit_ns
from da3_ros.sources.datasets.dataset import Dataset
from da3_ros.sources.datasets.euroc import BODY
from da3_ros.sources.datasets.opening import open_dataset
from da3_ros.sources.trajectory_files import STEP_NS, read_trajectory

IN_RESULTS = (
    'trajectory.tum', 'trajectory_*.tum', 'tum/base.txt', 'tum/camera_*.txt',
    'kitti/base.txt', 'kitti/camera_*.txt',
)  # fmt: skip
"""Trajectories with stamps in folders of results, the first of which is taken."""
OFFICIAL_POSES = 'camera_poses.txt'
"""Of DA3-Streaming: 16 numbers a line, no stamps."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadTrajectory:
    """A trajectory and where it is from."""

    name: str
    """Short, for tables and legends."""
    source: str
    """As it was named."""
    stamps_ns: NDArray[np.int64]
    """(N,) ascending."""
    poses: FloatArray
    """(N, 4, 4) world_from_body."""
    is_stamped: bool
    """False where pose i has i seconds for want of a stamp."""
    notes: tuple[str, ...] = ()
    body: str = ''
    """Frame that the poses are of, where that is known."""
    is_metric: bool = True
    """Whether positions are metres, as far as the source says."""
    images_ns: NDArray[np.int64] | None = None
    """Of a dataset the stamps of its images, which an estimate of all of them may lack."""
    is_numbered: bool = False
    """Whether these stand for the numbers of images, of a dataset that has no clock."""

    @property
    def unit(self) -> str:
        """Of its positions, in words: a file that says nothing of it has metres."""
        return 'm' if self.is_metric else 'the unit of the truth'


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Poses of the same instants."""

    stamps_ns: NDArray[np.int64]
    """(P,) of the truth where it has stamps, else of the estimate."""
    truth: FloatArray
    """(P, 4, 4)."""
    estimate: FloatArray
    """(P, 4, 4)."""
    by: str
    """`stamp` or `place`."""
    largest_difference_s: float


def named_trajectory(text: str) -> ReadTrajectory:
    """Read the trajectory that a user names.

    Args:
        text: a file (TUM, KITTI, EuRoC), `BAG#/TOPIC`, `BAG#/tf:PARENT:CHILD`, a folder of results
            or the folder of a dataset with truth.

    Raises:
        SourceError: it is none of them, or holds no pose.
    """
    part = bag_part(text)
    if part is not None:
        name = f'{part.bag.stem}{part.topic}'
        of_bag = bag_poses(part)
        return replace(_made(name, text, of_bag.poses, notes=of_bag.notes), body=of_bag.body)
    path = expanded(text)
    if path.is_dir():
        file_of_results = _in_results(path)
        views = results_in(path) if file_of_results is None else None
        if views is not None:
            return _of_views(views, path.name or str(path), text)
        if file_of_results is None:
            dataset = _dataset(path)
            if not dataset.truth:
                raise SourceError(f'dataset {plain_path(path)}: it has no true trajectory')
            return _of_dataset(dataset, path.name or str(path), text)
        path = file_of_results
    file = read_trajectory(path)
    found = _made(
        _short_name(expanded(text)),
        text,
        file.poses,
        is_stamped=file.is_stamped,
        notes=[note.text for note in file.notes],
    )
    return replace(found, is_metric=all(note.code != 'unit_unknown' for note in file.notes))


def _of_views(path: Path, name: str, text: str) -> ReadTrajectory:
    found = result_poses(path)
    notes = ['poses are those of the views of results.npz']
    if not found.is_metric:
        notes.append('the results say that their unit is not the metre')
    made = _made(name, text, found.poses, is_stamped=found.is_stamped, notes=notes)
    return replace(made, is_metric=found.is_metric)


def _dataset(path: Path) -> Dataset:
    try:
        return open_dataset(path)
    except SourceError as error:
        names = ', '.join((*IN_RESULTS, OFFICIAL_POSES, 'results.npz'))
        raise SourceError(
            f'{plain_path(path)}: expected results with one of {names} (--export-format tum '
            f'writes such), or a dataset: {error}'
        ) from error


def _of_dataset(dataset: Dataset, name: str, text: str) -> ReadTrajectory:
    notes = [note.text for note in dataset.notes]
    if dataset.truth_of not in dataset.cameras:
        notes.append(f'the true poses are of the {dataset.truth_of}, not of a camera')
    if not dataset.is_metric:
        notes.append('positions are in a unit of the dataset, not metres')
    images = [frame.stamp_ns for frame in dataset.of_camera(dataset.cameras[0])]
    return replace(
        _made(name, text, dataset.truth, notes=notes),
        body='' if dataset.truth_of == BODY else f'{dataset.truth_of}_optical_frame',
        is_metric=dataset.is_metric,
        images_ns=np.array(images, np.int64),
        is_numbered=not dataset.is_stamped,
    )


def _short_name(path: Path) -> str:
    return path.stem if path.is_file() else path.name or str(path)


def _in_results(folder: Path) -> Path | None:
    """Return the trajectory of a folder of results; None where it is none.

    Raises:
        SourceError: it holds several of equal rank.
    """
    for pattern in IN_RESULTS:
        files = sorted(f for f in folder.glob(pattern) if not f.stem.endswith('_times'))
        if len(files) > 1:
            names = ', '.join(plain_path(file) for file in files)
            raise SourceError(f'{plain_path(folder)}: expected one trajectory, name one: {names}')
        if files:
            return files[0]
    poses = folder / OFFICIAL_POSES
    return poses if poses.is_file() else None


def _made(
    name: str,
    source: str,
    poses: Sequence[StampedPose],
    *,
    is_stamped: bool = True,
    notes: Sequence[str] = (),
) -> ReadTrajectory:
    stamps = np.array([pose.stamp_ns for pose in poses], np.int64)
    order = np.argsort(stamps, kind='stable')
    matrices = np.stack([poses[place].world_from_base for place in order])
    return ReadTrajectory(name, source, stamps[order], matrices, is_stamped, tuple(notes))


def with_distinct_names(runs: Sequence[ReadTrajectory]) -> list[str]:
    """Return a name for each run; runs of equal names get a number behind it."""
    names: list[str] = []
    for run in runs:
        name, number = run.name, 1
        while name in names:
            number += 1
            name = f'{run.name} ({number})'
        names.append(name)
    return names


def matched(truth: ReadTrajectory, estimate: ReadTrajectory, max_difference_s: float) -> Matched:
    """Pair the poses of two trajectories: by stamps where both have them, else by their place.

    Args:
        truth: the true one.
        estimate: the estimated one.
        max_difference_s: within a pair, where both have stamps.

    Raises:
        GeometryError: no stamps are near enough, or one has none and the numbers differ.
    """
    given, estimate = estimate, _with_stamps_of_images(truth, estimate)
    if truth.is_stamped and estimate.is_stamped:
        limit = limit_ns(max_difference_s)
        pairs = associate(truth.stamps_ns.tolist(), estimate.stamps_ns.tolist(), limit)
        return Matched(
            truth.stamps_ns[pairs.first],
            truth.poses[pairs.first],
            estimate.poses[pairs.second],
            'place' if estimate is not given and given.is_stamped else 'stamp',
            pairs.largest_ns / STEP_NS,
        )
    first, second = _places(truth), _places(estimate)
    if first[-1] != second[-1]:
        without = truth if not truth.is_stamped else estimate
        raise GeometryError(
            f'{without.source} has no stamps, so poses pair by their place: expected as many in '
            f'both, got {first[-1] + 1} true ones and {second[-1] + 1} of {estimate.source}; name '
            'a file with stamps (trajectory.tum), or for KITTI its times.txt beside it'
        )
    _, in_first, in_second = np.intersect1d(first, second, return_indices=True)
    stamps = truth.stamps_ns[in_first] if truth.is_stamped else estimate.stamps_ns[in_second]
    return Matched(stamps, truth.poses[in_first], estimate.poses[in_second], 'place', 0.0)


def _with_stamps_of_images(truth: ReadTrajectory, estimate: ReadTrajectory) -> ReadTrajectory:
    """Return an estimate without stamps with those of the dataset's images, one each.

    Where the dataset has no clock, an estimate by another one has no stamps either.

    Raises:
        GeometryError: it has other stamps than such a dataset, and not a pose for every image.
    """
    images_ns = truth.images_ns
    if images_ns is None:
        return estimate
    if not estimate.is_stamped:
        places = _places(estimate)
        if places[-1] + 1 != len(images_ns):
            return estimate
        return replace(estimate, stamps_ns=images_ns[places], is_stamped=True)
    if not truth.is_numbered or are_among(estimate.stamps_ns, images_ns):
        return estimate
    if len(estimate.stamps_ns) != len(images_ns):
        raise GeometryError(
            f'{truth.source} has no stamps, and {estimate.source} has some of a clock: expected a '
            f'pose for each of {len(images_ns)} images, got {len(estimate.stamps_ns)}; write the '
            'stamps into the dataset (stamp_ns of cameras.json), or compare with a file that has '
            'them'
        )
    return replace(estimate, stamps_ns=images_ns)


def _places(trajectory: ReadTrajectory) -> NDArray[np.int64]:
    """Return the place (N,) of every pose among those of its source."""
    if trajectory.is_stamped:
        return np.arange(len(trajectory.stamps_ns))
    return trajectory.stamps_ns // STEP_NS
