"""Bags of every storage and compression, by the libraries of others."""

from collections.abc import Sequence
from pathlib import Path

from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from helpers.raw_messages import STORE, StampedMessage

SMALL_CHUNK = 4000


def write_mcap(
    path: Path,
    messages: Sequence[StampedMessage],
    compression: CompressionType = CompressionType.NONE,
    *,
    is_chunked: bool = True,
    has_index: bool = True,
) -> Path:
    """Write a file by the mcap library, in small chunks or in none."""
    indexes = IndexType.ALL if has_index else IndexType.NONE
    with path.open('wb') as stream:
        writer = McapWriter(
            stream,
            compression=compression,
            chunk_size=SMALL_CHUNK,
            use_chunking=is_chunked,
            index_types=indexes,
            use_statistics=has_index,
            repeat_channels=has_index,
            repeat_schemas=has_index,
            use_summary_offsets=has_index,
        )
        writer.start(profile='ros2')
        channels: dict[str, int] = {}
        for number, message in enumerate(messages):
            if message.topic not in channels:
                definition, _ = STORE.generate_msgdef(message.msgtype, ros_version=2)
                schema = writer.register_schema(message.msgtype, 'ros2msg', definition.encode())
                channels[message.topic] = writer.register_channel(message.topic, 'cdr', schema)
            writer.add_message(
                channels[message.topic],
                message.stamp_ns,
                message.data,
                message.stamp_ns,
                sequence=number,
            )
        writer.finish()  # type: ignore[no-untyped-call]
    return path


def write_rosbag2(
    folder: Path,
    messages: Sequence[StampedMessage],
    storage: StoragePlugin = StoragePlugin.MCAP,
    mode: CompressionMode | None = None,
) -> Path:
    """Write a folder by the rosbags library."""
    writer = Writer(folder, version=9, storage_plugin=storage)
    if mode is not None:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {
            topic: writer.add_connection(topic, msgtype, typestore=STORE)
            for topic, msgtype in {m.topic: m.msgtype for m in messages}.items()
        }
        for message in messages:
            writer.write(connections[message.topic], message.stamp_ns, message.data)
    return folder
