"""Results of a stream of any length as files, with memory for one window.

Files grow in the folder of an unfinished run; nothing of them is in its place before `finish` of
`stream_results`. What is known of the frames beside their pixels is a list of records of fixed
size. After `restore` it goes on behind what was committed; files of later frames are overwritten
by equal ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
import os
from pathlib import Path
from typing import Any

import numpy as np

from da3_ros.errors import ExportError
from da3_ros.export.ply import write_vertices
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import homogeneous, invert
from da3_ros.notes import Note
from da3_ros.sinks.stream_cloud import CLOUDS, VERTEX, cloud_name, sampled_points
from da3_ros.sinks.stream_frames import FRAMES, RECORD, frame_name, record_of, write_frame
from da3_ros.types import AlignmentReport, PosedView, ViewId, WindowResult

_RECORDS = 'frames.bin'


@dataclass(frozen=True, slots=True)
class FolderOptions:
    """What is written of every window."""

    cameras: tuple[str, ...]
    """Names of all cameras that may come."""
    store_every: int
    """Every n-th frame gets an archive; 0 for none."""
    sample_ratio: float
    """See `stream_cloud.sampled_points`."""
    conf_threshold_coef: float
    """See there."""


@dataclass(frozen=True, slots=True)
class UnitChange:
    """From here on everything is in another unit than before."""

    frame: int
    """The first frame in the new one."""
    cloud: int
    """The first cloud in it."""
    factor: float
    """New units per old one; the place of the first frame is the fixed point."""


@dataclass(slots=True)
class StreamCounts:
    """What was written up to now, and what was said about it."""

    windows: int = 0
    """Windows with a result, refused ones among them."""
    frames: int = 0
    clouds: int = 0
    points: int = 0
    """In all clouds together."""
    lost: int = 0
    """Frames of the source that no window placed."""
    is_metric: bool = False
    """Whether the present unit is the metre."""
    changes: list[UnitChange] = field(default_factory=list)
    last_ns: dict[str, int] = field(default_factory=dict)
    """Camera to the stamp of its newest frame here."""
    scale_sources: dict[str, int] = field(default_factory=dict)
    """What gave the scale, to the number of windows."""
    notes: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Code of a note to its first text and the number of windows that had it."""

    def add_report(self, report: AlignmentReport) -> None:
        """Count what a window says of itself."""
        self.windows += 1
        source = report.scale_source
        self.scale_sources[source] = self.scale_sources.get(source, 0) + 1
        for note in {note.code: note for note in reversed(report.notes)}.values():
            text, windows = self.notes.get(note.code, (note.text, 0))
            self.notes[note.code] = (text, windows + 1)

    def content(self) -> dict[str, Any]:
        """Return everything for JSON; numbers keep their bits."""
        changes = [[c.frame, c.cloud, c.factor.hex()] for c in self.changes]
        names = ('windows', 'frames', 'clouds', 'points', 'lost', 'is_metric', 'last_ns')
        plain = {name: getattr(self, name) for name in names}
        notes = {code: list(entry) for code, entry in self.notes.items()}
        return {**plain, 'changes': changes, 'scale_sources': self.scale_sources, 'notes': notes}

    @staticmethod
    def of(content: Mapping[str, Any]) -> StreamCounts:
        """Return the object that `content` was made of."""
        changes = [UnitChange(f, c, float.fromhex(factor)) for f, c, factor in content['changes']]
        notes = {code: (text, count) for code, (text, count) in content['notes'].items()}
        return StreamCounts(**{**content, 'changes': changes, 'notes': notes})


class StreamFolder:
    """Writes windows as they come; `took` and `add` may be called from two threads.

    Args:
        folder: of the unfinished run.
        options: what is written.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path, options: FolderOptions) -> None:
        self.folder = folder
        self.options = options
        self.counts = StreamCounts()
        for name in (FRAMES, CLOUDS):
            (folder / name).mkdir(exist_ok=True)
        self._records = (folder / _RECORDS).open('a+b')
        self._frame0_from_world: FloatArray | None = None
        # Frames that were taken and have no place yet, by camera: stamp and number.
        self._taken: dict[str, deque[tuple[int, int]]] = {c: deque() for c in options.cameras}

    @property
    def records_file(self) -> Path:
        """The file of the records."""
        return self.folder / _RECORDS

    def took(self, frame: ViewId, number: int) -> None:
        """Take note of a frame that goes into the pipeline.

        Args:
            frame: of one of the cameras, stamps increasing for each.
            number: of the frame in its source.
        """
        if frame.stamp_ns > self.counts.last_ns.get(frame.camera, frame.stamp_ns - 1):
            self._taken[frame.camera].append((frame.stamp_ns, number))

    def add(self, result: WindowResult) -> None:
        """Write the frames of a window that no earlier one placed.

        Raises:
            OSError: the disk refuses.
        """
        report = result.alignment
        self.counts.add_report(report)
        views = [view for posed in result.new_sets for view in posed.views]
        if not views:
            return
        if report.is_new_unit:
            self._change_unit(report)
        self.counts.is_metric = report.is_metric
        if self._frame0_from_world is None:
            self._frame0_from_world = invert(views[0].world_from_camera)
        for view in views:
            self._add_view(view)
        points = sampled_points(
            views,
            self._frame0_from_world,
            self.counts.clouds,
            threshold_coef=self.options.conf_threshold_coef,
            ratio=self.options.sample_ratio,
        )
        write_vertices(self.folder / cloud_name(self.counts.clouds), [points], VERTEX, ())
        self.counts.clouds += 1
        self.counts.points += len(points)

    def commit(self) -> dict[str, Any]:
        """Bring everything to the disk and return the state that `restore` takes."""
        self._records.flush()
        os.fsync(self._records.fileno())
        return self.counts.content()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on behind what was committed.

        Raises:
            ExportError: the files are not those of the state.
        """
        try:
            self.counts = StreamCounts.of(state)
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(
                f'{self.folder}: the record of an interrupted run is damaged ({error}); --restart '
                'begins anew'
            ) from error
        size = self.counts.frames * RECORD.itemsize
        if self.records_file.stat().st_size < size:
            raise ExportError(
                f'{self.folder}: frames of an interrupted run are missing; --restart begins anew'
            )
        self._records.truncate(size)
        if self.counts.frames:
            first = np.fromfile(self.records_file, RECORD, 1)[0]
            self._frame0_from_world = invert(homogeneous(first['pose']))

    def close(self) -> None:
        """Let go of the files."""
        self._records.close()

    def _add_view(self, view: PosedView) -> None:
        index, name = self.counts.frames, view.id.camera
        every = self.options.store_every
        if every and index % every == 0:
            write_frame(self.folder / frame_name(index), view)
        record = record_of(view, self.options.cameras.index(name), self._number(view.id))
        self._records.write(record.tobytes())
        self.counts.last_ns[name] = view.id.stamp_ns
        self.counts.frames += 1

    def _number(self, frame: ViewId) -> int:
        """Return the number of a frame in its source; those before it were lost."""
        taken, last_ns = self._taken[frame.camera], self.counts.last_ns.get(frame.camera)
        while taken:
            stamp_ns, number = taken.popleft()
            if stamp_ns == frame.stamp_ns:
                return number
            self.counts.lost += last_ns is None or stamp_ns > last_ns
        raise ExportError(f'camera {frame.camera}: a frame at {frame.stamp_ns} was never taken')

    def _change_unit(self, report: AlignmentReport) -> None:
        factor = _factor(report.notes)
        if factor is not None and self.counts.frames:
            change = UnitChange(self.counts.frames, self.counts.clouds, factor)
            self.counts.changes.append(change)


def _factor(notes: tuple[Note, ...]) -> float | None:
    """Return the new units per old one, None where earlier lengths stay as they are."""
    return next((n.numbers['factor'] for n in notes if n.code == 'became_metric'), None)
