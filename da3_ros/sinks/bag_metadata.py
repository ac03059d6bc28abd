"""The metadata.yaml of a bag folder."""

from __future__ import annotations

from typing import Any, Literal

import yaml

from da3_ros.sinks.definitions import MessageDefinitions
from da3_ros.sinks.mcap_index import McapIndex

# Older releases of ROS 2 (Humble) read this version, newer ones as well.
METADATA_VERSION: Literal[8] = 8


def metadata_text(index: McapIndex, file_name: str, definitions: MessageDefinitions) -> str:
    """Return the content of metadata.yaml beside one mcap file.

    Args:
        index: of the file.
        file_name: its name.
        definitions: of its message types.

    Raises:
        SinkError: the definition of a type is unknown.
    """
    topics = []
    for name, topic in index.topics.items():
        definitions.require(topic.msgtype)
        about = {
            'name': name,
            'type': topic.msgtype,
            'serialization_format': 'cdr',
            'offered_qos_profiles': topic.qos,
            'type_description_hash': definitions.typestore.hash_rihs01(topic.msgtype),
        }
        topics.append({'topic_metadata': about, 'message_count': index.counts[topic.key]})
    information: dict[str, Any] = {
        'version': METADATA_VERSION,
        'storage_identifier': 'mcap',
        'relative_file_paths': [file_name],
        **_extent(index),
        'topics_with_message_count': topics,
        'compression_format': '',
        'compression_mode': '',
        'files': [{'path': file_name, **_extent(index)}],
        'custom_data': None,
        'ros_distro': 'da3_ros',
    }
    return yaml.safe_dump({'rosbag2_bagfile_information': information}, sort_keys=False)


def _extent(index: McapIndex) -> dict[str, Any]:
    # Another object each time: of the same one YAML would write a reference.
    start_ns, end_ns = index.span_ns
    return {
        'starting_time': {'nanoseconds_since_epoch': start_ns},
        'duration': {'nanoseconds': end_ns - start_ns},
        'message_count': index.message_count,
    }
