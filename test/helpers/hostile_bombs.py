"""Small files that would take gigabytes, minutes or a device, and a process with bounds for them.

Run with a folder, it reads every file in it within bounds of memory and time, and prints a JSON
object: name to what was said against it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import resource
import signal
import sqlite3
import struct
import sys
import zipfile
import zlib

import zstandard

from helpers.hostile_files import complaint, saved_tree

MEMORY_BYTES = 1 << 30
"""More than the process has once everything is imported."""
TIME_S = 60
_BLOCK = 1 << 20


def zeros_deflated(megabytes: int) -> bytes:
    """Return raw deflate that unpacks to that many megabytes of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(bytes(_BLOCK))
    packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(_BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * megabytes + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def _npz(path: Path, shape: str, megabytes: int) -> None:
    """Write depth of a shape, as zeros that are declared as they are."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + '\n'
    stored = b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head.encode()
    # A member is deflate of its own: the header stored, the zeros behind it.
    head_block = b'\x00' + struct.pack('<HH', len(stored), len(stored) ^ 0xFFFF) + stored
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('depth.npy', head_block + zeros_deflated(megabytes))
    data = bytearray(path.read_bytes())
    declared = (len(stored) + megabytes * _BLOCK).to_bytes(4, 'little')
    for signature, method, size in ((b'PK\x03\x04', 8, 22), (b'PK\x01\x02', 10, 24)):
        at = data.index(signature)
        data[at + method : at + method + 2] = b'\x08\x00'
        data[at + size : at + size + 4] = declared
    path.write_bytes(data)


def _png(path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', checksum)

    size = -(-side * (side + 1) // _BLOCK)
    data = b'\x78\xda' + zeros_deflated(size)
    header = struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0)
    parts = chunk(b'IHDR', header) + chunk(b'IDAT', data) + chunk(b'IEND', b'')
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + parts)


def _mcap(path: Path, megabytes: int, *, chunks: int = 0, messages: int = 0) -> None:
    def record(opcode: int, data: bytes) -> bytes:
        return bytes([opcode]) + struct.pack('<Q', len(data)) + data

    def text(value: bytes) -> bytes:
        return struct.pack('<I', len(value)) + value

    names = text(b'std_msgs/msg/String') + text(b'ros2msg') + text(b'string data')
    channel = struct.pack('<HH', 1, 1) + text(b'/a') + text(b'cdr') + bytes(4)
    packed = zstandard.compress(bytes(megabytes * _BLOCK))
    head = struct.pack('<QQQI', 1, 2, megabytes * _BLOCK, 0) + text(b'zstd')
    chunk = record(6, head + struct.pack('<Q', len(packed)) + packed)
    message = record(5, struct.pack('<HIQQ', 1, 0, 5, 5) + packed)
    magic = b'\x89MCAP0\r\n'
    start = record(1, text(b'ros2') + text(b'')) + record(3, struct.pack('<H', 1) + names)
    path.write_bytes(
        magic + start + record(4, channel) + chunk * chunks + message * messages + magic
    )


def _bag_of_a_view(path: Path) -> None:
    """Write a bag whose messages are computed when they are read, and never end."""
    data = sqlite3.connect(path)
    data.execute('create table topics(id integer, name, type, serialization_format)')
    data.execute("insert into topics values (1, '/a', 'std_msgs/msg/String', 'cdr')")
    data.execute(
        'create view messages as with recursive n(i) as (select 1 union all select i + 1 from n) '
        "select i as id, 1 as topic_id, i as timestamp, x'00010000' as data from n"
    )
    data.commit()
    data.close()


def _laughs(levels: int) -> str:
    lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for level in range(1, levels):
        aliases = ', '.join([f'*a{level - 1}'] * 10)
        lines.append(f'a{level}: &a{level} [{aliases}]')
    return '\n'.join(lines)


def _configuration(folder: Path, name: str, parent: str) -> Path:
    (folder / name).mkdir()
    content = {'model_name': 'own', 'config': {'__inherit__': parent}}
    (folder / name / 'config.json').write_text(json.dumps(content))
    return folder / name


def write_bombs(folder: Path) -> dict[str, str]:
    """Write them and return, by the path in the folder, what is said against each."""
    _npz(folder / 'ratio.npz', '(512, 1024, 1024)', 2048)
    _npz(folder / 'shape.npz', '(1000000, 1000000, 1000000)', 1)
    _npz(folder / 'negative.npz', '(-1, 1024, 1024)', 1)
    _png(folder / 'pixels.png', 30_000)
    _mcap(folder / 'chunks.mcap', 1000, chunks=3)
    _mcap(folder / 'messages.mcap', 1000, messages=3)
    _bag_of_a_view(folder / 'view.db3')
    (folder / 'rig.json').write_text(_laughs(9))
    (folder / 'params.json').write_text(_laughs(9))
    (folder / 'deep.glb').write_bytes(
        struct.pack('<4sIII4s', b'glTF', 2, 0, 200_000, b'JSON') + b'[' * 200_000
    )
    (folder / 'header.safetensors').write_bytes((1 << 40).to_bytes(8, 'little') + b'{}')
    saved_tree('weights.safetensors', {'a': {'dtype': 'F32', 'shape': [10**9, 10**9],
                                             'data_offsets': [0, 16]}}, folder)  # fmt: skip
    _configuration(folder, 'zero', '/dev/zero')
    _configuration(folder, 'outside', '../rig.json')
    os.mkfifo(_configuration(folder, 'pipe', './pipe.yaml') / 'pipe.yaml')
    (_configuration(folder, 'link', './link.yaml') / 'link.yaml').symlink_to('/dev/zero')
    graph = _configuration(folder, 'graph', './p0.yaml')
    (graph / 'p12.yaml').write_text('{}')
    for n in range(12):
        parents = f'[{", ".join([f"./p{n + 1}.yaml"] * 10)}]'
        (graph / f'p{n}.yaml').write_text(f'__inherit__: {parents}\n')
    (_configuration(folder, 'circle', './p.yaml') / 'p.yaml').write_text('__inherit__: ./p.yaml\n')
    return {
        'ratio.npz': 'declare 2147483776 bytes',
        'shape.npz': 'takes 4000000000000000000 bytes',
        'negative.npz': 'sides from 0 up',
        'pixels.png': '',
        'chunks.mcap': 'a chunk declares 1048576000 bytes unpacked, beyond the limit',
        'messages.mcap': '',
        'view.db3': 'expected a table messages',
        'rig.json': 'at most 100000 values',
        'params.json': '',
        'deep.glb': 'nested too deeply',
        'header.safetensors': 'its header declares 1099511627776 bytes',
        'weights.safetensors': 'are no F32 of shape',
        'zero/config.json': 'expected a file in',
        'outside/config.json': 'expected a file in',
        'pipe/config.json': 'expected a regular file',
        'link/config.json': 'expected a file in',
        'graph/config.json': 'at most 32 files',
        'circle/config.json': 'more than 16 parents',
    }


def _read_all(folder: Path, names: list[str]) -> dict[str, str]:
    pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    said = {}
    for name in names:
        # Ends the process.
        signal.alarm(TIME_S)
        said[name] = complaint(folder / name)
    signal.alarm(0)
    return said


if __name__ == '__main__':
    json.dump(_read_all(Path(sys.argv[1]), sys.argv[2:]), sys.stdout)
