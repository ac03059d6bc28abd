"""Arrays of an `.npz` of anybody: what its headers declare is looked at before it is unpacked.

Source: the NumPy format, versions 1 and 2 (numpy.lib.format), in a zip archive (APPNOTE.TXT).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any
import zipfile

import numpy as np

from da3_ros.errors import SourceError
from da3_ros.foreign import foreign_file, open_regular, plain_line

Array = np.ndarray[Any, Any]

MAX_BYTES = 32 << 30
"""Of all arrays together, unpacked."""
MAX_RATIO = 100
"""Unpacked to packed bytes, beyond `ALWAYS_BYTES`: depth and images reach ten."""
ALWAYS_BYTES = 1 << 28
"""Unpacked bytes that are read at any ratio."""

_MAX_ARRAYS = 10_000
_KINDS = 'biufcUSV'
_SUFFIX = '.npy'
_ENCRYPTED = 1


def read_arrays(path: Path) -> dict[str, Array]:
    """Return all arrays of an `.npz`; nothing that is pickled is ever loaded.

    Raises:
        SourceError: it is no such file, damaged, or declares more than `MAX_BYTES`, or beyond
            `ALWAYS_BYTES` more than `MAX_RATIO` times its size.
    """
    if not path.is_file():
        raise SourceError(f'{path}: expected a results.npz, there is no such file')
    with foreign_file(path, 'npz'), open_regular(path) as file:
        if not zipfile.is_zipfile(file):
            raise SourceError(f'{path}: expected an npz (a zip archive), this is none')
        size = file.seek(0, 2)
        with zipfile.ZipFile(file) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(_SUFFIX)]
            _check_members(members, size)
            return {m.filename.removesuffix(_SUFFIX): _member(archive, m) for m in members}


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse an archive by what its directory declares."""
    if len(members) > _MAX_ARRAYS:
        raise ValueError(f'expected at most {_MAX_ARRAYS} arrays, it lists {len(members)}')
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            raise ValueError(f'{plain_line(member.filename, 80)} is encrypted')
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            name = plain_line(member.filename, 80)
            raise ValueError(f'{name}: expected deflate, got compression {member.compress_type}')
    total = sum(member.file_size for member in members)
    limit = min(MAX_BYTES, max(ALWAYS_BYTES, MAX_RATIO * size))
    if total > limit:
        raise ValueError(
            f'its arrays declare {total} bytes, more than {limit}, the limit for a file of {size}'
        )


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    name = plain_line(member.filename, 80)
    try:
        with archive.open(member) as file:
            _check_header(file, member.file_size)
        with archive.open(member) as file:
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
            # The checksum is looked at where the end is reached.
            if file.read(1):
                raise ValueError('bytes follow its end')
            return array
    except KeyError as error:
        raise ValueError(f'{name}: its header has no entry {error}') from error
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f'{name}: {error}') from error


def _check_header(file: IO[bytes], size: int) -> None:
    """Refuse an array whose shape and type are not exactly what its bytes hold."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f'expected version 1 or 2 of the format, got {version}')
    if dtype.hasobject or dtype.kind not in _KINDS or not dtype.itemsize:
        raise ValueError(f'expected numbers or text, it declares {dtype}, objects are pickled')
    if not all(0 <= side < 1 << 62 for side in shape):
        raise ValueError(f'expected sides from 0 up, it declares {shape}')
    declared = math.prod(shape) * dtype.itemsize
    there = size - file.tell()
    if declared != there:
        raise ValueError(
            f'{dtype} of shape {shape} takes {declared} bytes, {there} are declared for it'
        )
