"""QoS profiles by what they are for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

_RELIABILITY = {
    'best_effort': ReliabilityPolicy.BEST_EFFORT,
    'reliable': ReliabilityPolicy.RELIABLE,
}


def image_input(reliability: str, depth: int) -> QoSProfile:
    """Return the profile of image subscriptions; best_effort receives from every publisher."""
    return _profile(_RELIABILITY[reliability], DurabilityPolicy.VOLATILE, depth)


def data_output(depth: int) -> QoSProfile:
    """Return the profile of images, clouds and poses: reliable serves both kinds of reader."""
    return _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE, depth)


def latched(depth: int = 1) -> QoSProfile:
    """Return the profile of what a late reader gets too: the path, static transforms."""
    return _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, depth)


def overridable() -> QoSOverridingOptions:
    """Return options that let `qos_overrides` parameters change depth, history, reliability."""
    return QoSOverridingOptions.with_default_policies()


def unheard_is_meant() -> Any:
    """Return the events of a subscription that is not to warn of publishers it does not match."""
    return _events().SubscriptionEventCallbacks(use_default_callbacks=False)


def event_class() -> Any:
    """Return the class of what an executor waits for to hear of such events."""
    module = _events()
    return module.EventHandler if hasattr(module, 'EventHandler') else module.QoSEventHandler


def _events() -> Any:
    # Humble has them under another name.
    is_new = find_spec('rclpy.event_handler') is not None
    return import_module('rclpy.event_handler' if is_new else 'rclpy.qos_event')


def _profile(
    reliability: ReliabilityPolicy, durability: DurabilityPolicy, depth: int
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )
