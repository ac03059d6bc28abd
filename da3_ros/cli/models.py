"""`da3 models`: the networks with short names, what they can do and whether they are here."""

from __future__ import annotations

import json
from typing import Any

from da3_ros.cli.table_options import takes_options
from da3_ros.options.table import Entrance


@takes_options(Entrance.ABOUT)
def models(as_json: bool) -> None:
    """List the networks: size, capabilities, licence, repository, whether they are here."""
    rows = [describe_network(name) for name in _names()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    _show(rows)


def _show(rows: list[dict[str, Any]]) -> None:
    """Print three lines for each network, none longer than 80 columns."""
    for row in rows:
        here = 'here' if row['cached'] else 'not here'
        print(f'{row["preset"]:<24}{row["parameters"] / 1e6:>7,.0f} M parameters, {here}')
        print(f'    gives beyond depth: {", ".join(row["capabilities"])}')
        print(f'    {row["repository"]}, {row["licence"]}')


def _names() -> list[str]:
    from da3_ros.model.presets import NETWORKS

    return list(NETWORKS)


def describe_network(name: str) -> dict[str, Any]:
    """Return what there is to know of a preset, for JSON."""
    from da3_ros.inference.hub import UPSTREAM, is_cached, licence_of
    from da3_ros.model.capabilities import capabilities
    from da3_ros.model.presets import NETWORKS, PARAMETERS

    config = NETWORKS[name]
    upstream = UPSTREAM.get(name)
    return {
        'preset': name,
        'parameters': PARAMETERS[name],
        'capabilities': list(capabilities(config).names()),
        'licence': licence_of(name),
        'repository': upstream.repository if upstream else 'comes with this package',
        'cached': is_cached(name),
    }
