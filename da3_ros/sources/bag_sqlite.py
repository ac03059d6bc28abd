"""Reading one SQLite file of a bag: by SQLite where that accepts it, else from its pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
import shutil
import sqlite3
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import numpy as np

from da3_ros.errors import SourceError
from da3_ros.sources.bag_damage import BagDamage
from da3_ros.sources.bag_pages import MAGIC, Pages, read_header
from da3_ros.sources.bag_rows import RecoveredRows
from da3_ros.sources.bag_split import MAX_STAMP_NS, Channel, Stored, channel_of

# A damaged schema gives rows of any shape, and errors whose text is no UTF-8.
_REFUSALS = (sqlite3.Error, ArithmeticError, LookupError, TypeError, ValueError, AttributeError)
_SIDE_FILES = ('-wal', '-journal')
_TOPIC_COLUMNS = ('id', 'name', 'type', 'serialization_format')
_MESSAGE_COLUMNS = ('id', 'topic_id', 'timestamp', 'data')
_INDEX = np.dtype([('stamp_ns', np.int64), ('topic', np.int64), ('number', np.int64)])
# What is no message has a NULL or another type where a number or a blob belongs.
_IS_MESSAGE = (
    "typeof(topic_id) = 'integer' and typeof(timestamp) = 'integer' and typeof(data) = 'blob' "
    f'and timestamp >= 0 and timestamp < {MAX_STAMP_NS}'
)


class SqliteSplit:
    """One SQLite file, whole or not.

    A write-ahead log or a rollback journal beside it is what a recorder that was killed has not
    put into the file yet: SQLite works it in, in a copy.

    Args:
        path: the file.
        damage: takes what is missing.

    Raises:
        SourceError: it is no SQLite file of a bag.
    """

    def __init__(self, path: Path, damage: BagDamage) -> None:
        self.name = path.name
        self.channels: dict[int, Channel] = {}
        self.counts: dict[int, int] = {}
        self.start_ns = self.end_ns = 0
        self._damage = damage
        self._folder: TemporaryDirectory[str] | None = None
        self._data: sqlite3.Connection | None = None
        self._rows: RecoveredRows | None = None
        self._index = np.zeros(0, _INDEX)
        self._path = path
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and remove its copy."""
        if self._data is not None:
            self._data.close()
        if self._rows is not None:
            self._rows.close()
        if self._folder is not None:
            self._folder.cleanup()

    def messages(self, channels: Collection[int], start_ns: int, stop_ns: int) -> Iterator[Stored]:
        """Yield messages in order of time, of stamps from start to before stop."""
        last: Stored | None = None
        if self._rows is None:
            try:
                for last in self._selected(channels, start_ns, stop_ns):
                    yield last
                return
            except _REFUSALS as error:
                self._recover(str(error))
        assert self._rows is not None
        for stored in self._rows.messages(channels, start_ns, stop_ns):
            if last is None or (stored.stamp_ns, stored.position) > (last.stamp_ns, last.position):
                yield stored

    def _open(self) -> None:
        self._take_side_files()
        reason = _refusal(self._path)
        if not reason:
            try:
                self._data = _connect(self._path, is_immutable=self._folder is None)
                self._take_topics(self._data)
                return
            except _REFUSALS as error:
                reason = str(error)
        self._recover(reason)

    def _take_side_files(self) -> None:
        """Work in what lies beside the file, in a copy."""
        beside = [Path(f'{self._path}{end}') for end in _SIDE_FILES]
        beside = [file for file in beside if file.is_file() and file.stat().st_size]
        if not beside:
            return
        self._folder = TemporaryDirectory(prefix='da3_bag_')
        copy = Path(self._folder.name) / self.name
        try:
            for file in (self._path, *beside):
                shutil.copyfile(file, copy.with_name(file.name))
            with closing(sqlite3.connect(copy)) as data:
                data.execute('pragma writable_schema = on')
                data.execute('select count(*) from sqlite_master').fetchone()
                data.execute('pragma journal_mode = delete')
        except (OSError, *_REFUSALS) as error:
            names = ' and '.join(file.name for file in beside)
            self._damage.say('bag_damaged', f'{self.name}: {names} cannot be worked in: {error}')
            self._folder.cleanup()
            self._folder = None
            return
        self._path = copy
        self._damage.say(
            'bag_index_rebuilt',
            f'{self.name}: its recorder did not finish it; '
            f'{" and ".join(file.name for file in beside)} worked in, in a copy',
        )

    # ---- by SQLite

    def _take_topics(self, data: sqlite3.Connection) -> None:
        columns = _columns(data, 'topics')
        if not columns.issuperset(_TOPIC_COLUMNS):
            raise SourceError(
                f'{self.name}: expected the tables topics and messages of a ROS 2 bag; '
                'there are none'
            )
        if not _columns(data, 'messages').issuperset(_MESSAGE_COLUMNS):
            raise LookupError(f'expected a table messages of {", ".join(_MESSAGE_COLUMNS)}')
        qos = 'offered_qos_profiles' if 'offered_qos_profiles' in columns else "''"
        query = f'select id, name, type, serialization_format, {qos} from topics order by id'
        declared = {
            number: channel_of(self._damage, self.name, *rest)
            for number, *rest in data.execute(query)
        }
        first, last, total = data.execute(
            'select min(id), max(id), count(*) from messages not indexed'
        ).fetchone()
        if total and (gone := last - first + 1 - total) > 0:
            reason = 'their rows are gone, by damage or by hand'
            self._damage.skip(self.name, 'gone', reason, gone)
        # In the order of the table: an index of time may be damaged unnoticed.
        query = (
            'select timestamp, topic_id, id from messages not indexed '
            f'where {_IS_MESSAGE} order by id'
        )
        index = np.fromiter(data.execute(query), dtype=_INDEX)
        self._index = index[np.argsort(index['stamp_ns'], kind='stable')]
        topics, counts = np.unique(index['topic'], return_counts=True)
        good = Counter(dict(zip(topics.tolist(), counts.tolist(), strict=True)))
        self._settle(declared, good)
        stamps = self._index['stamp_ns'][np.isin(self._index['topic'], list(self.channels))]
        if len(stamps):
            self.start_ns, self.end_ns = int(stamps[0]), int(stamps[-1])
        if total > len(index):
            reason = 'time, topic or data are missing'
            self._damage.skip(self.name, 'rows', reason, total - len(index))

    def _settle(self, declared: dict[Any, Channel | None], good: Counter[int]) -> None:
        self.channels = {key: channel for key, channel in declared.items() if channel is not None}
        self.counts = {key: good[key] for key in self.channels}
        unknown = sum(count for key, count in good.items() if key not in declared)
        if unknown:
            self._damage.skip(self.name, 'unknown', 'their topic is not declared', unknown)

    def _selected(
        self, channels: Collection[int], start_ns: int, stop_ns: int
    ) -> Iterator[Stored]:
        assert self._data is not None
        stamps = self._index['stamp_ns']
        first, last = np.searchsorted(stamps, [start_ns, stop_ns])
        part = self._index[first:last]
        query = 'select data from messages where id = ?'
        for stamp_ns, topic, number in part[np.isin(part['topic'], list(channels))].tolist():
            row = self._data.execute(query, (number,)).fetchone()
            if row is None:
                self._damage.skip(self.name, number, 'their rows are not where they should be')
            else:
                yield Stored(stamp_ns, topic, number, row[0])

    # ---- from the pages

    def _recover(self, reason: str) -> None:
        """Read what can be read without SQLite, and say why."""
        pages = Pages(self._path)
        self._rows = RecoveredRows(pages, self.name, self._damage)
        missing = pages.header.page_count * pages.header.page_bytes - pages.size
        end = f'; {missing} bytes are missing at its end' if missing > 0 else ''
        if pages.zero_tail_bytes:
            end = f'; its last {pages.zero_tail_bytes} bytes are zeros'
        self._damage.say(
            'bag_damaged',
            f'{self.name}: damaged ({reason}){end}; its rows are read one by one',
            missing_bytes=max(0, missing) + pages.zero_tail_bytes,
        )
        if not self.channels:
            self._settle(self._rows.declared, self._rows.counts)
            self.start_ns, self.end_ns = self._rows.span_ns(self.channels)


def _columns(data: sqlite3.Connection, table: str) -> set[str]:
    """Return the stored columns of a table; none of what computes its rows, which may never end.

    That is a view, a virtual table and a generated column.
    """
    query = 'select sql from sqlite_master where name = ? and type = ?'
    found = data.execute(query, (table, 'table')).fetchone()
    if found is None or not found[0] or found[0].lower().split()[:2] != [b'create', b'table']:
        return set()
    rows = data.execute(f'pragma table_xinfo({table})').fetchall()
    return {row[1].decode() for row in rows if row[6] == 0}


def _connect(path: Path, is_immutable: bool) -> sqlite3.Connection:
    end = '&immutable=1' if is_immutable else ''
    # The player reads in another thread than the one that opened it.
    data = sqlite3.connect(
        f'file:{quote(str(path.resolve()))}?mode=ro{end}', uri=True, check_same_thread=False
    )
    # Names need not be UTF-8.
    data.text_factory = bytes
    return data


def _refusal(path: Path) -> str:
    """Return why SQLite must not read a file by itself, empty where it may.

    It fills a last page that is cut up with zeros, and takes zeros for content.
    """
    size = path.stat().st_size
    with path.open('rb') as stream:
        has_magic = stream.read(len(MAGIC)) == MAGIC
        header = read_header(stream)
    if size == 0:
        return 'it has no bytes'
    if not has_magic:
        return 'it does not begin as an SQLite file does'
    if excess := size % header.page_bytes:
        return f'it ends {excess} bytes into a page of {header.page_bytes}'
    if header.page_count * header.page_bytes > size:
        return f'it has {size // header.page_bytes} of {header.page_count} pages'
    with closing(Pages(path)) as pages:
        return 'zeros follow its content' if pages.zero_tail_bytes else ''
