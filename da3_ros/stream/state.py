"""Frozen values as bytes and back, exactly: what a stream remembers, kept for another process.

Every number keeps its bits and its type, every array its order in memory, on which the last bit of
a product may depend. Bytes that come back are believed in nothing: they name no class that was not
given, take no more memory than their length allows, and every field has the type that its class
declares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
import hashlib
import struct
from typing import Any, TypeVar, get_type_hints

import numpy as np

from da3_ros.errors import StreamError
from da3_ros.stream.state_types import fits

T = TypeVar('T')

_MAGIC = b'da3 state 1\n'
_DIGEST_BYTES = 32
_DEEPEST = 32
_MAX_DIMENSIONS = 8
_DTYPES = tuple(
    np.dtype(name)
    for name in ('?', '<i1', '<i2', '<i4', '<i8', '<u1', '<u2', '<u4', '<u8', '<f4', '<f8')
)


class StateCodec:
    """Writes and reads values of some classes.

    None, bool, int, float, str, bytes, tuples, dicts, arrays and scalars of numpy, and frozen
    dataclasses of these.

    Args:
        classes: the dataclasses that may occur.

    Raises:
        StreamError: a class is no dataclass, or two have one name.
    """

    def __init__(self, *classes: type) -> None:
        self._classes = {one.__name__: one for one in classes}
        if len(self._classes) < len(classes) or not all(map(is_dataclass, classes)):
            raise StreamError(f'state: expected dataclasses of different names, got {classes}')
        self._fields = {one: _fields(one) for one in classes}

    def encode(self, value: object) -> bytes:
        """Return a value as bytes.

        Raises:
            StreamError: something in it is of a type that is not written.
        """
        out = bytearray()
        self._write(out, value)
        return _MAGIC + hashlib.sha256(out).digest() + out

    def decode(self, data: bytes, kind: type[T]) -> T:
        """Return the value that `encode` wrote.

        Args:
            data: the bytes.
            kind: class of the value.

        Raises:
            StreamError: the bytes are damaged, of another version, or hold something else.
        """
        start = len(_MAGIC) + _DIGEST_BYTES
        payload = memoryview(data)[start:]
        if not data.startswith(_MAGIC) or hashlib.sha256(payload).digest() != bytes(
            data[len(_MAGIC) : start]
        ):
            raise StreamError(
                f'state: expected {_MAGIC.decode().strip()!r} with its digest, got '
                f'{len(data)} other bytes: they are damaged or of another version'
            )
        reader = _Reader(payload)
        try:
            value = self._read(reader, 0)
        except StreamError:
            raise
        except Exception as error:  # of a class that refuses what comes
            raise StreamError(f'state: a value cannot be ({error})') from error
        if reader.left:
            raise StreamError(f'state: expected its end, got {reader.left} bytes more')
        if type(value) is not kind:
            raise StreamError(f'state: expected {kind.__name__}, got {type(value).__name__}')
        return value

    # ---- to bytes

    def _write(self, out: bytearray, value: Any) -> None:
        kind = type(value)
        if kind in _WRITERS:
            _WRITERS[kind](out, value)
        elif kind is tuple:
            out += b'(' + struct.pack('<I', len(value))
            for one in value:
                self._write(out, one)
        elif kind is dict:
            out += b'{' + struct.pack('<I', len(value))
            for key, one in value.items():
                self._write(out, key)
                self._write(out, one)
        elif isinstance(value, np.generic):
            out += b'G' + bytes([_code_of(value.dtype)]) + value.tobytes()
        elif self._classes.get(kind.__name__) is kind:
            _write_counted(out, b'C', kind.__name__.encode())
            for name, hint in self._fields[kind].items():
                part = getattr(value, name)
                _require_fit(kind, name, hint, part)
                self._write(out, part)
        else:
            raise StreamError(f'state: a {kind.__name__} cannot be written')

    # ---- and back

    def _read(self, reader: _Reader, depth: int) -> Any:
        if depth > _DEEPEST:
            raise StreamError(f'state: expected at most {_DEEPEST} levels')
        tag = bytes(reader.take(1))
        if tag in _PLAIN:
            return _PLAIN[tag](reader)
        if tag == b'(':
            return tuple(self._read(reader, depth + 1) for _ in range(reader.count()))
        if tag == b'{':
            count = reader.count()
            return {
                self._read(reader, depth + 1): self._read(reader, depth + 1) for _ in range(count)
            }
        if tag == b'C':
            return self._read_object(reader, depth)
        raise StreamError(f'state: expected a value, got the byte {tag!r}')

    def _read_object(self, reader: _Reader, depth: int) -> object:
        name = str(reader.counted(), 'utf-8')
        kind = self._classes.get(name)
        if kind is None:
            known = ', '.join(self._classes)
            raise StreamError(f'state: expected one of {known}, got {name!r}')
        values: dict[str, Any] = {}
        for part, hint in self._fields[kind].items():
            values[part] = self._read(reader, depth + 1)
            _require_fit(kind, part, hint, values[part])
        return kind(**values)


def _fields(kind: type) -> dict[str, Any]:
    """Return the names of what makes an object of a class, and their types."""
    hints = get_type_hints(kind)
    return {part.name: hints[part.name] for part in fields(kind) if part.init}


def _require_fit(kind: type, name: str, hint: Any, value: object) -> None:
    if not fits(value, hint):
        raise StreamError(
            f'state: expected {kind.__name__}.{name} to be {hint}, got {type(value).__name__}'
        )


class _Reader:
    """Bytes that are taken one piece after the other."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._place = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._place

    def take(self, count: int) -> memoryview:
        if count > self.left:
            raise StreamError(f'state: expected {count} bytes more, got {self.left}')
        self._place += count
        return self._data[self._place - count : self._place]

    def number(self, form: str) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def count(self) -> int:
        """Return a number of values, each of which takes a byte at least."""
        count = self.number('<I')
        if count > self.left:
            raise StreamError(f'state: expected at most {self.left} values, got {count}')
        return count

    def counted(self) -> memoryview:
        return self.take(self.number('<I'))


def _write_counted(out: bytearray, tag: bytes, data: bytes) -> None:
    out += tag + struct.pack('<I', len(data)) + data


def _write_int(out: bytearray, value: int) -> None:
    length = value.bit_length() // 8 + 1
    _write_counted(out, b'I', value.to_bytes(length, 'little', signed=True))


def _write_float(out: bytearray, value: float) -> None:
    out += b'D' + struct.pack('<d', value)


def _write_text(out: bytearray, value: str) -> None:
    _write_counted(out, b'S', value.encode('utf-8', 'surrogatepass'))


def _write_constant(out: bytearray, value: bool | None) -> None:
    out += b'N' if value is None else b'T' if value else b'F'


def _code_of(dtype: np.dtype[Any]) -> int:
    if dtype not in _DTYPES:
        raise StreamError(f'state: numbers of type {dtype} cannot be written')
    return _DTYPES.index(dtype)


def _write_array(out: bytearray, array: np.ndarray[Any, Any]) -> None:
    is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    if array.ndim > _MAX_DIMENSIONS:
        raise StreamError(f'state: an array of {array.ndim} dimensions cannot be written')
    out += b'A' + bytes([_code_of(array.dtype), is_fortran, array.ndim])
    out += struct.pack(f'<{array.ndim}Q', *array.shape)
    out += array.tobytes('F' if is_fortran else 'C')


def _dtype(reader: _Reader) -> np.dtype[Any]:
    code = reader.number('<B')
    if code >= len(_DTYPES):
        raise StreamError(f'state: expected a type of numbers, got {code}')
    return _DTYPES[code]


def _read_array(reader: _Reader) -> np.ndarray[Any, Any]:
    dtype, order, dimensions = _dtype(reader), reader.number('<B'), reader.number('<B')
    if dimensions > _MAX_DIMENSIONS or order > 1:
        raise StreamError(f'state: expected an array, got {dimensions} dimensions, order {order}')
    shape = [reader.number('<Q') for _ in range(dimensions)]
    count = 1
    for length in shape:
        # In whole numbers: a product in 64 bits may wrap around.
        count *= length
    values = np.frombuffer(reader.take(count * dtype.itemsize), dtype)
    # A copy: its own memory, which may be written to.
    found: np.ndarray[Any, Any] = values.copy().reshape(shape, order='F' if order else 'C')
    return found


def _read_scalar(reader: _Reader) -> np.generic:
    dtype = _dtype(reader)
    scalar: np.generic = np.frombuffer(reader.take(dtype.itemsize), dtype)[0]
    return scalar


_WRITERS: Mapping[type, Callable[[bytearray, Any], None]] = {
    type(None): _write_constant,
    bool: _write_constant,
    int: _write_int,
    float: _write_float,
    str: _write_text,
    bytes: lambda out, value: _write_counted(out, b'B', value),
    np.ndarray: _write_array,
}
_PLAIN: Mapping[bytes, Callable[[_Reader], Any]] = {
    b'N': lambda reader: None,
    b'T': lambda reader: True,
    b'F': lambda reader: False,
    b'I': lambda reader: int.from_bytes(reader.counted(), 'little', signed=True),
    b'D': lambda reader: struct.unpack('<d', reader.take(8))[0],
    b'S': lambda reader: str(reader.counted(), 'utf-8', 'surrogatepass'),
    b'B': lambda reader: bytes(reader.counted()),
    b'A': _read_array,
    b'G': _read_scalar,
}
