"""The first picture of a demo, drawn as soon as the node has shown every camera once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from da3_ros.cli.demo_results import pixels_of, stamp_ns_of
from da3_ros.export.caution_strip import stamp_caution
from da3_ros.export.depth_colours import coloured_depth, depth_range
from da3_ros.export.depth_vis import depth_legend, enlarged_depth
from da3_ros.export.images import enlarged, write_colour
from da3_ros.export.picture_text import stacked
from da3_ros.types import ColourImage, FloatImage

if TYPE_CHECKING:
    from da3_ros.ros.client.node_client import NodeClient

_GAP_PX = 12
_MAX_WAITING = 8
"""Images of a camera that wait for their other half."""


class FirstLook:
    """Waits for colour and depth of one instant of every camera.

    Args:
        client: listens to the node.
        cameras: names.
    """

    def __init__(self, client: NodeClient, cameras: tuple[str, ...]) -> None:
        self._client = client
        self._cameras = cameras
        self._colour: dict[tuple[str, int], ColourImage] = {}
        self._depth: dict[tuple[str, int], FloatImage] = {}
        self._pairs: dict[str, tuple[ColourImage, FloatImage]] = {}
        self._watches = [
            client.watch(
                Image,
                f'/{camera}/{name}/image',
                partial(self._receive, camera, found),
                qos_profile_sensor_data,
            )
            for camera in cameras
            for name, found in (('color', self._colour), ('depth', self._depth))
        ]

    @property
    def is_complete(self) -> bool:
        """Whether every camera was seen."""
        return len(self._pairs) == len(self._cameras)

    def close(self) -> None:
        """Listen no longer."""
        for watch in self._watches:
            self._client.unwatch(watch)
        self._watches = []

    def draw(self, path: Path, caution: str) -> None:
        """Write the picture: per camera colour, depth and what its colours mean.

        Args:
            path: of a PNG.
            caution: of the network, empty for none.

        Raises:
            ExportError, OSError: it cannot be written.
        """
        report = self._client.last_window
        unit = 'm' if report is not None and report.is_metric else 'scene units'
        rows = []
        for camera in self._cameras:
            colour, depth = self._pairs[camera]
            shown = depth_range(depth)
            parts = [enlarged(colour), coloured_depth(enlarged_depth(depth), shown)]
            row = np.concatenate(parts, axis=1)
            rows += [row, depth_legend(shown, unit, row.shape[1])]
        write_colour(path, stamp_caution(stacked(rows, _GAP_PX), caution))

    def _receive(self, camera: str, found: dict[tuple[str, int], Any], message: Any) -> None:
        if camera in self._pairs:
            return
        key = camera, stamp_ns_of(message)
        if len(found) > _MAX_WAITING * len(self._cameras):
            found.pop(next(iter(found)))
        found[key] = pixels_of(message)
        colour, depth = self._colour.get(key), self._depth.get(key)
        # Without one known pixel there is nothing to see yet.
        if colour is None or depth is None or not np.isfinite(depth).any():
            return
        if colour.shape[:2] == depth.shape:
            self._pairs[camera] = colour, depth
