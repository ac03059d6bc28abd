"""What recorded point clouds hold: of every topic the first one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from da3_ros.geometry.arrays import FloatArray
    from da3_ros.sources.bag import BagReader


def describe_clouds(bag: BagReader) -> list[dict[str, Any]]:
    """Return topic, frame, fields, size, number of points and their distances from the sensor."""
    from da3_ros.sources.clouds import CLOUD_TYPE

    return [
        {'topic': topic.name, **_first_cloud(bag, topic.name)}
        for topic in bag.topics
        if topic.msgtype == CLOUD_TYPE and topic.count
    ]


def _first_cloud(bag: BagReader, topic: str) -> dict[str, Any]:
    import numpy as np

    message_of, points_of = _readers()
    try:
        cloud = message_of(next(bag.messages([topic])).data)
        points = points_of(cloud)
    except Exception as error:  # recorded bytes may be anything
        return {'problem': str(error) or type(error).__name__}
    away = np.linalg.norm(points, axis=1)
    return {
        'frame': cloud.header.frame_id,
        'fields': [field.name for field in cloud.fields],
        'size': f'{cloud.width}x{cloud.height}',
        'points': len(points),
        'nearest_m': float(away.min()) if len(away) else None,
        'farthest_m': float(away.max()) if len(away) else None,
    }


def _readers() -> tuple[Callable[[bytes], Any], Callable[[Any], FloatArray]]:
    """Return what makes a message of bytes, and points of a message: of ROS where that is."""
    try:
        from da3_ros.ros.messages.foreign_cloud import cloud_from_bytes, points_of
    except ImportError:
        from da3_ros.sinks.definitions import shared_definitions
        from da3_ros.sources import clouds

        store = shared_definitions().typestore
        return lambda data: store.deserialize_cdr(data, clouds.CLOUD_TYPE), clouds.points_of
    return cloud_from_bytes, points_of
