"""The RViz configuration for other cameras than the one it was made with."""

from __future__ import annotations

from collections.abc import Sequence
import copy
from typing import Any

import yaml

from da3_ros.plain_data import yaml_of

TEMPLATE_CAMERA = 'front'
"""Name of the group of displays that is repeated for every camera, and prefix of its topics."""


def for_cameras(text: str, cameras: Sequence[str], namespace: str, fixed_frame: str) -> str:
    """Return an RViz configuration with one group of displays for each camera.

    Args:
        text: rviz/da3.rviz.
        cameras: their names.
        namespace: of the node, with or without slashes around it.
        fixed_frame: frame that RViz draws in.
    """
    config = yaml_of(text)
    manager = config['Visualization Manager']
    manager['Global Options']['Fixed Frame'] = fixed_frame
    prefix = f'/{namespace.strip("/")}' if namespace.strip('/') else ''
    displays = []
    for display in manager['Displays']:
        if display['Name'] == TEMPLATE_CAMERA:
            displays += [_group(display, camera, prefix) for camera in cameras]
        else:
            displays.append(_moved(copy.deepcopy(display), '', prefix))
    manager['Displays'] = displays
    return str(yaml.safe_dump(config, sort_keys=False, width=1000))


def _group(group: dict[str, Any], camera: str, prefix: str) -> dict[str, Any]:
    found = copy.deepcopy(group)
    found['Name'] = camera
    for display in found['Displays']:
        _moved(display, f'/{TEMPLATE_CAMERA}', f'{prefix}/{camera}')
        display['Name'] = display['Name'].replace(TEMPLATE_CAMERA, camera, 1)
    return found


def _moved(display: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    topic = display.get('Topic')
    if topic is not None:
        topic['Value'] = new + topic['Value'].removeprefix(old)
    return display
