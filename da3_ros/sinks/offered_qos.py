"""The quality of service that a recorded topic was offered with, as bags keep it."""

from __future__ import annotations

from functools import lru_cache

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2.metadata import dump_qos_v8


def offered_qos(*, is_latched: bool, is_reliable: bool) -> Qos:
    """Return the profile of a topic.

    Args:
        is_latched: the publisher keeps the last message for late subscribers.
        is_reliable: the publisher resends what got lost.
    """
    forever = QosTime(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        1 if is_latched else 10,
        QosReliability.RELIABLE if is_reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if is_latched else QosDurability.VOLATILE,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )


@lru_cache
def offered_qos_text(*, is_latched: bool, is_reliable: bool) -> str:
    """Return the profile of a topic as metadata of version 8 have it."""
    return dump_qos_v8([offered_qos(is_latched=is_latched, is_reliable=is_reliable)])
