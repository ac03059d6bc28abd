"""Writing an mcap bag in steps that survive the end of the process.

What is committed is on the disk together with what its writer has to remember. A later process
goes on from there, and the bag that it finishes is, byte for byte, that of a process which was
never interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
import logging
import os
from pathlib import Path
from types import TracebackType
from zlib import crc32

import da3_ros
from da3_ros.errors import ExportError, SinkError
from da3_ros.options.choices import BAG_COMPRESSIONS, BagCompression
from da3_ros.options.outputs import CHOICE
from da3_ros.sinks import mcap_records as records
from da3_ros.sinks.bag_metadata import metadata_text
from da3_ros.sinks.bag_place import BagPlace
from da3_ros.sinks.definitions import MessageDefinitions, shared_definitions
from da3_ros.sinks.mcap_chunk import OpenChunk, compressor
from da3_ros.sinks.mcap_index import McapIndex
from da3_ros.sinks.mcap_scan import QOS, crc_of, scan
from da3_ros.sinks.offered_qos import offered_qos_text
from da3_ros.sinks.part_folder import Checkpoint, DamagedPartError, PartFolder
from da3_ros.sinks.run_settings import changed_settings

CHUNK_BYTES = 4 << 20
"""Messages are compressed together until they have so many bytes."""

_COMPRESSION, _CHUNK = 'compression', 'chunk_bytes'

_LOG = logging.getLogger(__name__)


class ResumableBag:
    """Writes raw messages; the bag appears under its name when it is closed without an error.

    A path that ends in `.mcap` becomes one file; any other becomes a bag folder with
    metadata.yaml. Until then it lies in the folder `NAME.part` beside it, which one process at a
    time may use. Use as a context manager: after an exception inside, and after a kill, what was
    committed stays there, and the next bag of that path goes on from it.

    Equal calls give equal bytes: there is no time of its own, no name and no number by chance in
    the file, and chunks end by their bytes.

    Args:
        path: the file or folder to make.
        settings: name to value of all that decides what is written; a run goes on with equal ones
            only.
        restart: forget what an interrupted run left.
        overwrite: replace the files of the bag that is there when the new one is complete. A
            folder that holds anything else is refused.
        compression: of the chunks.
        chunk_bytes: bytes of messages after which a chunk ends.
        inputs: bags that are read meanwhile; they are never replaced or written into.
        definitions: where message definitions come from; None for the process's own.

    Raises:
        SinkError: the path exists, is an input or cannot be written; another process is making
            it; or the settings are not those of the interrupted run (says which).
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, str],
        *,
        restart: bool,
        overwrite: bool,
        compression: BagCompression = CHOICE.compression,
        chunk_bytes: int = CHUNK_BYTES,
        inputs: Sequence[Path] = (),
        definitions: MessageDefinitions | None = None,
    ) -> None:
        self.path = Path(path)
        if compression not in BAG_COMPRESSIONS:
            expected = ', '.join(BAG_COMPRESSIONS)
            raise SinkError(f'bag compression: expected one of {expected}, got {compression}')
        self._place = BagPlace.of(self.path, 'mcap', overwrite=overwrite)
        self._place.keep_out_of(inputs)
        self._settings = dict(settings) | {_COMPRESSION: compression, _CHUNK: str(chunk_bytes)}
        self._compression, self._chunk_bytes = compression, chunk_bytes
        self._compress = compressor(compression)
        self._definitions = definitions or shared_definitions()
        self.committed: bytes | None = None
        """What was remembered with the last commit; None where nothing was committed."""
        self._index, self._chunk = McapIndex(), OpenChunk()
        self._file: FileIO | None = None
        # Of all bytes that were written.
        self._crc = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._part = PartFolder(self._place)
        except OSError as error:
            raise SinkError(f'bag {self.path}: cannot be written: {error}') from error
        try:
            self._place.check()
            self._begin(restart=restart)
        except DamagedPartError as error:
            self._leave()
            raise SinkError(
                f'bag {self.path}: cannot go on from {self._part.folder}: {error}; begin anew '
                '(restart)'
            ) from error
        except OSError as error:
            self._leave()
            raise SinkError(f'bag {self.path}: cannot be written: {error}') from error
        except BaseException:
            self._leave()
            raise

    def __enter__(self) -> ResumableBag:
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
            self.abandon()

    @property
    def message_count(self) -> int:
        """Messages so far, also those of interrupted runs."""
        return self._index.message_count + self._chunk.message_count

    @property
    def unfinished(self) -> Path:
        """The folder in which the bag lies until it is complete."""
        return self._part.folder

    # ---- what an interrupted run left

    def _begin(self, *, restart: bool) -> None:
        if restart:
            self._part.clear()
        found = self._part.checkpoint()
        if found is not None:
            self._require_equal(found.settings)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = FileIO(os.open(self._part.file, flags, 0o666), 'r+')
        if found is None:
            self._file.truncate(0)
            self._write_bytes(records.MAGIC)
            self._write_bytes(records.header('ros2', f'da3_ros {da3_ros.__version__}'))
        else:
            self._go_on(found)

    def _require_equal(self, interrupted: Mapping[str, str]) -> None:
        """Refuse to go on with other settings.

        Raises:
            SinkError: names those that differ, with both values.
        """
        differ = changed_settings(interrupted, self._settings)
        if differ:
            raise SinkError(
                f'bag {self.path}: an interrupted run with other settings is in '
                f'{self._part.folder}: {differ}. Give the same ones to go on from it, '
                'or begin anew (restart)'
            )

    def _go_on(self, checkpoint: Checkpoint) -> None:
        assert self._file is not None
        size = os.fstat(self._file.fileno()).st_size
        if size < checkpoint.length:
            raise DamagedPartError(
                f'{self._part.file} has {size} bytes, {checkpoint.length} are committed'
            )
        self._file.truncate(checkpoint.length)
        with self._part.file.open('rb') as stream:
            self._crc = crc_of(stream, checkpoint.length)
            if self._crc != checkpoint.crc:
                raise DamagedPartError('messages up to the last commit are damaged (checksum)')
            self._index = scan(stream, checkpoint.length)
        self._file.seek(checkpoint.length)
        self.committed = checkpoint.state
        _LOG.info(
            'bag %s: an interrupted run goes on behind %d messages', self.path, self.message_count
        )

    # ---- messages

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
            SinkError: the topic has another type already, the type's definition is unknown, or
                the disk refuses.
        """
        known = self._index.topics.get(topic)
        if known is not None:
            if known.msgtype != msgtype:
                raise SinkError(
                    f'bag {self.path}: topic {topic} has type {known.msgtype}, got {msgtype}'
                )
            return
        schema_key = self._index.schema_key(msgtype)
        if schema_key is None:
            self._definitions.require(msgtype)
            text, _ = self._definitions.typestore.generate_msgdef(msgtype, ros_version=2)
            schema_key = self._index.next_schema_key
            content = records.schema(schema_key, msgtype, 'ros2msg', text)
            self._write_bytes(content)
            self._index.add_schema(msgtype, content)
        qos = offered_qos_text(is_latched=is_latched, is_reliable=is_reliable)
        key = self._index.next_channel_key
        content = records.channel(key, schema_key, topic, 'cdr', {QOS: qos})
        self._write_bytes(content)
        self._index.add_channel(topic, msgtype, qos, content)

    def write(self, topic: str, stamp_ns: int, data: bytes | bytearray | memoryview) -> None:
        """Append a message.

        Args:
            topic: one that was added.
            stamp_ns: time of the message in the bag, >= 0.
            data: CDR with its encapsulation; a copy is kept.

        Raises:
            SinkError: the topic was not added, the stamp is negative, or the disk refuses.
        """
        known = self._index.topics.get(topic)
        if known is None:
            raise SinkError(f'bag {self.path}: topic {topic} was not added')
        if stamp_ns < 0:
            raise SinkError(
                f'bag {self.path}: topic {topic}: expected a stamp >= 0, got {stamp_ns}'
            )
        self._require_open()
        self._chunk.add(known.key, stamp_ns, data)
        if self._chunk.size >= self._chunk_bytes:
            self._end_chunk()

    def commit(self, state: bytes) -> None:
        """Put all messages so far on the disk, and with them what is to be remembered.

        Args:
            state: what `committed` gives to the process that goes on.

        Raises:
            SinkError: the disk refuses; the commit before this one holds then.
        """
        self._end_chunk()
        with self._refusals() as file:
            os.fsync(file.fileno())
            self._part.write_checkpoint(Checkpoint(file.tell(), self._crc, self._settings, state))
        self.committed = state

    def close(self) -> None:
        """Finish the bag and give it its name.

        Raises:
            SinkError: the disk refuses, or something came under the name that may not be
                replaced; what was committed stays in its folder then.
        """
        self._end_chunk()
        try:
            with self._refusals() as file:
                self._write_bytes(self._index.summary(file.tell()))
                os.fsync(file.fileno())
                metadata = None
                if not self._place.is_single_file:
                    name = self._place.file_name
                    metadata = metadata_text(self._index, name, self._definitions)
                self._part.finish(metadata)
        finally:
            self._leave()

    def abandon(self) -> None:
        """End without a bag; what was committed stays for the next one of this path."""
        self._leave()

    # ---- the file

    def _end_chunk(self) -> None:
        """Write what waits in a chunk."""
        if not self._chunk.message_count:
            return
        with self._refusals() as file:
            parts, place = self._chunk.closed(file.tell(), self._compression, self._compress)
            for part in parts:
                self._write_bytes(part)
        self._index.add_chunk(place)
        self._chunk = OpenChunk()

    def _write_bytes(self, content: bytes) -> None:
        with self._refusals() as file:
            self._crc = crc32(content, self._crc)
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]

    def _require_open(self) -> FileIO:
        if self._file is None:
            raise SinkError(f'bag {self.path}: it is closed, or an error ended it')
        return self._file

    @contextmanager
    def _refusals(self) -> Iterator[FileIO]:
        """Yield the file; an error of the disk ends this object.

        Raises:
            SinkError: the disk refuses, or has before.
        """
        file = self._require_open()
        try:
            yield file
        except (OSError, ExportError) as error:
            self._leave()
            kept = ''
            if self.committed is not None:
                kept = f'; the same run goes on from what is in {self._part.folder}'
            raise SinkError(f'bag {self.path}: cannot be written: {error}{kept}') from error

    def _leave(self) -> None:
        """Close the file, and let another process have the folder if there is any use for it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._part.has_checkpoint:
            self._part.release()
        else:
            self._part.remove()
