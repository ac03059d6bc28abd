"""Unpacking what a bag compresses, as far as the bytes go and never beyond a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
import shutil
from typing import BinaryIO

import lz4.frame
import zstandard

from da3_ros.errors import SourceError

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
"""First bytes of a zstd frame (RFC 8878, 3.1.1)."""
MAX_UNPACKED_BYTES = 1 << 30
"""Most that one chunk or one message may hold: recorders write chunks of some megabytes."""
MAX_RATIO = 200
"""Unpacked to packed bytes, beyond `ALWAYS_BYTES`: messages of sensors reach ten."""
ALWAYS_BYTES = 1 << 27
"""Unpacked bytes of one chunk or one message that are read at any ratio."""
# What damage takes with it at most: what one step would have given.
_STEP = 1 << 17
_MAX_FILE_RATIO = 1000
_SPARE_DISK_BYTES = 1 << 28


def unpacked(data: bytes, compression: str, size: int) -> bytes:
    """Return the first `size` bytes of compressed data, fewer where it is cut or damaged.

    Args:
        data: one frame.
        compression: `zstd`, `lz4`, or empty for bytes as they are.
        size: what is expected; nothing beyond it is unpacked.

    Raises:
        SourceError: the compression is unknown, or the size is beyond `MAX_UNPACKED_BYTES`, or
            more than data of this length hold.
    """
    if size > MAX_UNPACKED_BYTES:
        raise SourceError(
            f'expected at most {MAX_UNPACKED_BYTES} bytes unpacked, {size} are declared'
        )
    if not compression:
        return data[:size]
    steps = _STEPS.get(compression)
    if steps is None:
        raise SourceError(f'expected compression zstd or lz4, got {compression!r}')
    most = max(ALWAYS_BYTES, MAX_RATIO * len(data))
    whole = bytearray()
    try:
        for part in steps(data):
            whole += part
            if len(whole) >= size:
                break
            if len(whole) > most:
                raise SourceError(f'{len(data)} bytes unpack to more than {most}')
    except (zstandard.ZstdError, RuntimeError, EOFError):
        pass  # cut or damaged: what came before it is good
    del whole[size:]
    return bytes(whole)


def plain_message(data: bytes) -> bytes | None:
    """Return a message's CDR where a recorder compressed it, the data itself where not.

    None stands for bytes that are no CDR: compressed ones that are damaged or of another kind. CDR
    begins with a zero and the kind of its encapsulation (OMG DDSI-RTPS 2.5, 10.2).
    """
    if data.startswith(ZSTD_MAGIC):
        try:
            size = zstandard.get_frame_parameters(data).content_size
            # Compressors that are fed in pieces do not write it.
            is_known = size != zstandard.CONTENTSIZE_UNKNOWN
            whole = unpacked(data, 'zstd', size if is_known else MAX_UNPACKED_BYTES)
        except (zstandard.ZstdError, SourceError):
            return None
        data = whole if not is_known or len(whole) == size else b''
    return data if len(data) >= 4 and data[0] == 0 and data[1] <= _LAST_ENCAPSULATION else None


_LAST_ENCAPSULATION = 0x0B


def unpack_file(packed: Path, out: Path) -> None:
    """Write a zstd file unpacked, as far as its bytes go.

    Raises:
        SourceError: it becomes implausibly large, or the disk is full.
    """
    limit = max(MAX_UNPACKED_BYTES, _MAX_FILE_RATIO * packed.stat().st_size)
    limit = min(limit, max(0, shutil.disk_usage(out.parent).free - _SPARE_DISK_BYTES))
    written = 0
    try:
        with packed.open('rb') as source, out.open('wb') as target:
            for part in _zstd_steps(source):
                written += target.write(part)
                if written > limit:
                    raise SourceError(
                        f'{packed.name}: expected at most {limit} bytes unpacked (a thousand '
                        f'times its size, and what {out.parent} has room for), there are more; '
                        'unpack it by `zstd -d` where there is room'
                    )
    except zstandard.ZstdError:
        pass  # cut or damaged: the reader of what came before it says so
    except OSError as error:
        raise SourceError(f'{packed.name}: cannot be unpacked: {error}') from error


def _zstd_steps(source: bytes | BinaryIO) -> Iterator[bytes]:
    stream = BytesIO(source) if isinstance(source, bytes) else source
    with zstandard.ZstdDecompressor().stream_reader(stream, closefd=False) as reader:
        while part := reader.read(_STEP):
            yield part


def _lz4_steps(source: bytes) -> Iterator[bytes]:
    decoder = lz4.frame.LZ4FrameDecompressor()
    part = decoder.decompress(source, max_length=_STEP)
    while part:
        yield part
        if decoder.eof or decoder.needs_input:
            return
        part = decoder.decompress(b'', max_length=_STEP)


_STEPS: dict[str, Callable[[bytes], Iterator[bytes]]] = {'zstd': _zstd_steps, 'lz4': _lz4_steps}
