"""Message classes by name, for topics whose type is only known at run time."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from da3_ros.errors import NodeError


def message_class(msgtype: str) -> Any:
    """Return the class of a message type like `sensor_msgs/msg/Image`.

    Raises:
        NodeError: the name is no message type, or its package is not installed here.
    """
    parts = msgtype.split('/')
    if len(parts) != 3 or not all(part.isidentifier() for part in parts):
        raise NodeError(f'message type {msgtype}: expected the form package/msg/Name')
    try:
        return getattr(import_module('.'.join(parts[:2])), parts[2])
    except (ImportError, AttributeError) as error:
        raise NodeError(
            f'message type {msgtype}: not installed here; '
            f'install the package {parts[0]} or source the workspace that has it'
        ) from error
