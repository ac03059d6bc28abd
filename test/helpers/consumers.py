"""What a consumer of the node's topics asks for, held against what the node offers."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

RELIABILITY = {
    'reliable': ReliabilityPolicy.RELIABLE,
    'best_effort': ReliabilityPolicy.BEST_EFFORT,
    'system_default': ReliabilityPolicy.SYSTEM_DEFAULT,
}
DURABILITY = {
    'volatile': DurabilityPolicy.VOLATILE,
    'transient_local': DurabilityPolicy.TRANSIENT_LOCAL,
}


def profile(reliability: str, durability: str = 'volatile', depth: int = 10) -> QoSProfile:
    """Return the profile of a subscription."""
    return QoSProfile(
        depth=depth, reliability=RELIABILITY[reliability], durability=DURABILITY[durability]
    )


def mismatches(node: Node, topic: str, kind: str, wanted: QoSProfile) -> Sequence[str]:
    """Return what keeps a subscription from every publisher of a topic; empty when nothing does.

    Args:
        node: sees the graph.
        topic: absolute name.
        kind: type, for example sensor_msgs/msg/Image.
        wanted: what the subscription asks for.
    """
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:
        return [f'{topic}: nobody publishes it']
    found = [
        f'{topic}: published as {publisher.topic_type}, read as {kind}'
        for publisher in publishers
        if publisher.topic_type != kind
    ]
    for publisher in publishers:
        verdict, reason = qos_check_compatible(publisher.qos_profile, wanted)
        if verdict == QoSCompatibility.ERROR:
            found.append(f'{topic}: {reason}')
    return found
