"""Options, declared once: name, type, default, unit, bounds or choices, help, entrances.

Owns the option table. ROS parameters, `config/da3.yaml`, launch arguments, options of the command
line, the key of `--resume`, the defaults of the Python API and the tables of `docs/` derive from
its entries, which are the fields of the dataclasses here. Knows neither torch nor ROS. Start with
`table`, which says what an entry is; `network`, `stream`, `output`, `export`, `scenes` and
`streaming` hold the entries, `camera` those of single cameras, `node` joins the groups of the
node.

An options object is frozen: a change makes another one, which is checked whole before anything
uses it.
"""

from da3_ros.options.choices import (
    ATTENTIONS,
    CONDITIONINGS,
    PRECISIONS,
    REFERENCE_STRATEGIES,
    RESIZE_METHODS,
    RUNTIMES,
    SCALE_SOURCES,
)
from da3_ros.options.network import EstimatorOptions, PredictionOptions
from da3_ros.options.node import NodeOptions, from_flat, option_specs, to_flat, without_aliases
from da3_ros.options.output import OutputOptions
from da3_ros.options.stream import StreamOptions
from da3_ros.options.table import (
    Entrance,
    OptionSpec,
    OptionValue,
    check_value,
    defaults_at,
    specs_of,
    with_truth,
)

__all__ = [
    'ATTENTIONS',
    'CONDITIONINGS',
    'PRECISIONS',
    'REFERENCE_STRATEGIES',
    'RESIZE_METHODS',
    'RUNTIMES',
    'SCALE_SOURCES',
    'Entrance',
    'EstimatorOptions',
    'NodeOptions',
    'OptionSpec',
    'OptionValue',
    'OutputOptions',
    'PredictionOptions',
    'StreamOptions',
    'check_value',
    'defaults_at',
    'from_flat',
    'option_specs',
    'specs_of',
    'to_flat',
    'with_truth',
    'without_aliases',
]
