"""`da3 models`: the networks with short names, what they can do and whether they are here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from da3_ros.cli.table_options import takes_options
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.model.config import NetworkConfig


@takes_options(Entrance.ABOUT)
def models(as_json: bool) -> None:
    """List the networks: size, capabilities, licence, repository, whether they are here."""
    rows = [describe_network(name) for name in _names()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column('preset', no_wrap=True)
    table.add_column('params', justify='right', no_wrap=True)
    table.add_column('gives, beyond depth')
    table.add_column('repository, licence', overflow='fold')
    table.add_column('here', no_wrap=True)
    for row in rows:
        table.add_row(
            row['preset'],
            f'{row["parameters"] / 1e6:,.0f} M',
            ', '.join(row['capabilities']),
            f'{row["repository"]}\n{row["licence"]}',
            'yes' if row['cached'] else 'no',
        )
    Console().print(table)


def _names() -> list[str]:
    from da3_ros.model.presets import NETWORKS

    return list(NETWORKS)


def describe_network(name: str) -> dict[str, Any]:
    """Return what there is to know of a preset, for JSON."""
    from da3_ros.inference.hub import UPSTREAM, is_cached, licence_of
    from da3_ros.model.capabilities import capabilities
    from da3_ros.model.presets import NETWORKS

    config = NETWORKS[name]
    upstream = UPSTREAM.get(name)
    return {
        'preset': name,
        'parameters': _parameters(config),
        'capabilities': list(capabilities(config).names()),
        'licence': licence_of(name),
        'repository': upstream.repository if upstream else 'comes with this package',
        'cached': is_cached(name),
    }


def _parameters(config: NetworkConfig) -> int:
    """Count parameters without making any."""
    from da3_ros.model.build import build_network

    return sum(value.numel() for value in build_network(config).parameters())
