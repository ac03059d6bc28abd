"""Writing ROS 2 bags of raw messages, atomically.

Until a bag is complete it lies in a folder beside its name. Once a second what was written is
handed to the system, so that of a process that is killed all but the last second can be read
there. The next writer of that name removes what killed ones left, and gives what cannot be had
again a name of its own.
"""

from __future__ import annotations

from contextlib import suppress
import logging
import os
from pathlib import Path
import sqlite3
import time
from types import TracebackType

from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer

from da3_ros.errors import ExportError, SinkError
from da3_ros.export.staging import KEEP_MARKER, abandoned_folders, locked_folder, remove_staging
from da3_ros.options.choices import UNFINISHED, BagStorage
from da3_ros.options.export import RESULTS
from da3_ros.sinks.bag_metadata import METADATA_VERSION
from da3_ros.sinks.bag_place import BagPlace
from da3_ros.sinks.definitions import MessageDefinitions, shared_definitions
from da3_ros.sinks.offered_qos import offered_qos

_LOG = logging.getLogger(__name__)
_PLUGINS = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
_FLUSH_PERIOD_S = 1.0
_RECOVERED = '.recovered'


class BagWriter:
    """Writes raw messages; the bag appears under its name when it is closed without an error.

    A path that ends in `.mcap` or `.db3` becomes one file; any other becomes a bag folder with
    metadata.yaml. Use as a context manager: an exception inside leaves nothing behind, unless what
    was written is to be kept.

    Args:
        path: the file or folder to make.
        storage: format of the messages; None takes it from the path's suffix, else mcap.
        overwrite: replace the files of the bag that is there when the new one is complete. A
            folder that holds anything else is refused.
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
        self._place = BagPlace.of(self.path, storage, overwrite=overwrite)
        self._definitions = definitions or shared_definitions()
        self._connections: dict[str, Connection] = {}
        self.message_count = 0
        self._place.check()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._clear_leftovers()
            self._scratch, self._lock = locked_folder(
                self.path.parent, f'{self.path.name}{UNFINISHED}'
            )
        except OSError as error:
            raise SinkError(f'bag {self.path}: cannot be written: {error}') from error
        try:
            self._writer = Writer(
                self._scratch / (self.path.stem if self._place.is_single_file else self.path.name),
                version=METADATA_VERSION,
                storage_plugin=_PLUGINS[self._place.storage],
            )
            self._writer.open()
        except Exception as error:
            # The library has errors of its own.
            self._discard()
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
            offered_qos_profiles=[offered_qos(is_latched=is_latched, is_reliable=is_reliable)],
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
            if self._keeps_unfinished and self.message_count:
                (self._scratch / KEEP_MARKER).touch()
        except (OSError, sqlite3.Error) as error:
            raise SinkError(f'bag {self.path}: cannot be written: {error}') from error

    def close(self) -> None:
        """Finish the bag and give it its name.

        Raises:
            SinkError: the disk refuses; nothing appears under the name then.
        """
        where = ''
        try:
            self._writer.close()
            self._place.take(self._writer.path)
        except (OSError, sqlite3.Error, ExportError, SinkError) as error:
            if self._keeps_unfinished:
                where = f'; what was written is {self.unfinished}'
                self._release()
            else:
                self._discard()
            raise SinkError(f'bag {self.path}: cannot be finished: {error}{where}') from error
        self._discard()

    def abort(self) -> None:
        """End without a bag; what was written is thrown away unless it is to be kept."""
        if self._keeps_unfinished and self.message_count:
            with suppress(SinkError):
                self._flush_due = 0.0
                self.flush_when_due()
            self._writer.abort()
            self._release()
            _LOG.warning(
                'bag %s: not finished; what was written is %s', self.path, self.unfinished
            )
            return
        self._writer.abort()
        self._discard()

    def _clear_leftovers(self) -> None:
        """Remove what killed writers of this name left; what cannot be had again gets a name."""
        with abandoned_folders(self.path.parent, f'{self.path.name}{UNFINISHED}') as found:
            for scratch in found:
                if (scratch / KEEP_MARKER).is_file():
                    for bag in (entry for entry in scratch.iterdir() if entry.is_dir()):
                        recovered = self._recovered_name()
                        bag.rename(recovered)
                        _LOG.warning(
                            'bag %s: an earlier recorder was killed; what it wrote is now %s',
                            self.path,
                            recovered,
                        )
                remove_staging(scratch)

    def _recovered_name(self) -> Path:
        """Make an empty folder, whose name a bag may take."""
        stem = self.path.stem if self._place.is_single_file else self.path.name
        number = 1
        while True:
            folder = self.path.with_name(f'{stem}{_RECOVERED}{"" if number == 1 else number}')
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
            number += 1

    def _discard(self) -> None:
        remove_staging(self._scratch)
        self._release()

    def _release(self) -> None:
        """Give up the lock: whatever is in the folder now is nobody's work in progress."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
