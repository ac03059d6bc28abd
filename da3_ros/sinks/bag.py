"""Writing ROS 2 bags of raw messages, atomically.

Until a bag is complete it lies in a folder beside its name. Once a second what was written is
handed to the system, so that of a process that is killed all but the last second can be read
there.
"""

from __future__ import annotations

from contextlib import suppress
import logging
from pathlib import Path
import shutil
import sqlite3
import tempfile
import time
from types import TracebackType
from typing import Literal

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer

from da3_ros.errors import SinkError
from da3_ros.options.choices import BAG_STORAGES, UNFINISHED, BagStorage
from da3_ros.options.export import RESULTS
from da3_ros.sinks.definitions import MessageDefinitions, shared_definitions

_LOG = logging.getLogger(__name__)
_PLUGINS = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
_SUFFIXES: dict[str, BagStorage] = {'.mcap': 'mcap', '.db3': 'sqlite3'}
# Older releases of ROS 2 (Humble) read this version, newer ones as well.
_METADATA_VERSION: Literal[8] = 8
_FLUSH_PERIOD_S = 1.0


class BagWriter:
    """Writes raw messages; the bag appears under its name when it is closed without an error.

    A path that ends in `.mcap` or `.db3` becomes one file; any other becomes a bag folder with
    metadata.yaml. Use as a context manager: an exception inside leaves nothing behind, unless what
    was written is to be kept.

    Args:
        path: the file or folder to make.
        storage: format of the messages; None takes it from the path's suffix, else mcap.
        overwrite: replace what is there when the new bag is complete.
        definitions: where message definitions come from; None for the process's own.
        keeps_unfinished: leave what was written in the folder `unfinished` after an exception: it
            cannot be had again.

    Raises:
        SinkError: the path exists, cannot be written, or its suffix contradicts the storage.
    """

    def __init__(
        self,
        path: Path,
        *,
        storage: BagStorage | None = None,
        overwrite: bool = RESULTS.overwrite,
        definitions: MessageDefinitions | None = None,
        keeps_unfinished: bool = False,
    ) -> None:
        self.path = Path(path)
        self._keeps_unfinished = keeps_unfinished
        self._flush_due = time.monotonic() + _FLUSH_PERIOD_S
        implied = _SUFFIXES.get(self.path.suffix)
        if storage is not None and storage not in BAG_STORAGES:
            raise SinkError(f'bag storage: expected mcap or sqlite3, got {storage}')
        if storage and implied and storage != implied:
            raise SinkError(
                f'bag {self.path}: a {self.path.suffix} file holds {implied}, not {storage}; '
                'change the name or the storage'
            )
        self._is_single_file = implied is not None
        self._overwrite = overwrite
        self._definitions = definitions or shared_definitions()
        self._connections: dict[str, Connection] = {}
        self.message_count = 0
        if self.path.exists() and not overwrite:
            raise SinkError(f'bag {self.path}: exists already; choose another name or overwrite')
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = Path(
                tempfile.mkdtemp(prefix=f'{self.path.name}{UNFINISHED}', dir=self.path.parent)
            )
            self._writer = Writer(
                self._scratch / (self.path.stem if self._is_single_file else self.path.name),
                version=_METADATA_VERSION,
                storage_plugin=_PLUGINS[storage or implied or 'mcap'],
            )
            self._writer.open()
        except OSError as error:
            raise SinkError(f'bag {self.path}: cannot be written: {error}') from error

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @property
    def unfinished(self) -> Path:
        """The bag folder in which messages lie until the bag is complete."""
        return self._writer.path

    def add_topic(
        self, topic: str, msgtype: str, *, is_latched: bool = False, is_reliable: bool = True
    ) -> None:
        """Announce a topic; again with the same type does nothing.

        Args:
            topic: name, with its leading slash.
            msgtype: like `sensor_msgs/msg/Image`.
            is_latched: the publisher keeps the last message for late subscribers.
            is_reliable: the publisher resends what got lost.

        Raises:
            SinkError: the topic has another type already, or the type's definition is unknown.
        """
        known = self._connections.get(topic)
        if known is not None:
            if known.msgtype != msgtype:
                raise SinkError(
                    f'bag {self.path}: topic {topic} has type {known.msgtype}, got {msgtype}'
                )
            return
        self._definitions.require(msgtype)
        self._connections[topic] = self._writer.add_connection(
            topic,
            msgtype,
            typestore=self._definitions.typestore,
            offered_qos_profiles=[_qos(is_latched, is_reliable)],
        )

    def write(self, topic: str, stamp_ns: int, data: bytes | memoryview) -> None:
        """Append a message.

        Args:
            topic: one that was added.
            stamp_ns: time of the message in the bag, >= 0.
            data: CDR with its encapsulation.

        Raises:
            SinkError: the topic was not added, the stamp is negative, or the disk refuses.
        """
        connection = self._connections.get(topic)
        if connection is None:
            raise SinkError(f'bag {self.path}: topic {topic} was not added')
        if stamp_ns < 0:
            raise SinkError(
                f'bag {self.path}: topic {topic}: expected a stamp >= 0, got {stamp_ns}'
            )
        try:
            self._writer.write(connection, stamp_ns, data)
        except (OSError, sqlite3.Error) as error:
            raise SinkError(f'bag {self.path}: cannot be written: {error}') from error
        self.message_count += 1
        self.flush_when_due()

    def flush_when_due(self) -> None:
        """Hand what was written to the system, at most once a second.

        Raises:
            SinkError: the disk refuses.
        """
        now = time.monotonic()
        if now < self._flush_due:
            return
        self._flush_due = now + _FLUSH_PERIOD_S
        storage = self._writer.storage
        try:
            if isinstance(storage, McapWriter):
                # An MCAP file can be read up to its last whole chunk.
                if storage.chunk.msgs:
                    storage.close_chunk()
                storage.bio.flush()
            elif isinstance(storage, Sqlite3Writer):
                storage.conn.commit()
        except (OSError, sqlite3.Error) as error:
            raise SinkError(f'bag {self.path}: cannot be written: {error}') from error

    def close(self) -> None:
        """Finish the bag and give it its name.

        Raises:
            SinkError: the disk refuses; nothing appears under the name then.
        """
        try:
            self._writer.close()
            made = self._writer.path
            if self._is_single_file:
                made = next(file for file in made.iterdir() if file.suffix == self.path.suffix)
            if self._overwrite:
                _remove(self.path)
            made.rename(self.path)
        except (OSError, sqlite3.Error) as error:
            if not self._keeps_unfinished:
                shutil.rmtree(self._scratch, ignore_errors=True)
            raise SinkError(f'bag {self.path}: cannot be finished: {error}') from error
        shutil.rmtree(self._scratch, ignore_errors=True)

    def abort(self) -> None:
        """End without a bag; what was written is thrown away unless it is to be kept."""
        if self._keeps_unfinished and self.message_count:
            with suppress(SinkError):
                self._flush_due = 0.0
                self.flush_when_due()
            self._writer.abort()
            _LOG.warning(
                'bag %s: not finished; what was written is %s', self.path, self.unfinished
            )
            return
        self._writer.abort()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _qos(is_latched: bool, is_reliable: bool) -> Qos:
    forever = QosTime(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        1 if is_latched else 10,
        QosReliability.RELIABLE if is_reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if is_latched else QosDurability.VOLATILE,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )
