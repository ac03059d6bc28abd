"""Options, declared once: default, bounds, unit, help, dynamic or read-only.

ROS parameters, command-line flags, `config/da3.yaml` and `docs/parameters.md` derive from the
dataclasses here; a test compares. An options object is frozen: a change makes another one, which
is checked whole before anything uses it.
"""

from da3_ros.options.network import (
    ATTENTIONS,
    CONDITIONINGS,
    PRECISIONS,
    REFERENCE_STRATEGIES,
    RESIZE_METHODS,
    EstimatorOptions,
)
from da3_ros.options.node import NodeOptions, from_flat, option_specs, to_flat
from da3_ros.options.output import OutputOptions
from da3_ros.options.stream import SCALE_SOURCES, StreamOptions
from da3_ros.options.table import OptionSpec, OptionValue, check_value

__all__ = [
    'ATTENTIONS',
    'CONDITIONINGS',
    'PRECISIONS',
    'REFERENCE_STRATEGIES',
    'RESIZE_METHODS',
    'SCALE_SOURCES',
    'EstimatorOptions',
    'NodeOptions',
    'OptionSpec',
    'OptionValue',
    'OutputOptions',
    'StreamOptions',
    'check_value',
    'from_flat',
    'option_specs',
    'to_flat',
]
