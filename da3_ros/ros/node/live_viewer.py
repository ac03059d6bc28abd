"""The live viewer as the node's parameters ask for it."""

from __future__ import annotations

from rclpy.impl.rcutils_logger import RcutilsLogger

from da3_ros.options import OutputOptions
from da3_ros.web import LiveViewer, ViewSettings


def open_viewer(
    options: OutputOptions, logger: RcutilsLogger, notice: str = ''
) -> LiveViewer | None:
    """Return a running viewer whose controls start with the limits of the outputs.

    Args:
        options: None is returned unless `viewer` is set.
        logger: gets the address of the page.
        notice: what the page says all the time; empty for nothing.

    Raises:
        WebError: the page cannot be served; says why and what to do.
    """
    if not options.viewer:
        return None
    settings = ViewSettings(
        max_depth=options.max_depth_m,
        min_confidence=options.min_confidence,
        edge_filter=options.edge_filter,
        voxel_size=options.voxel_size_m,
    )
    viewer = LiveViewer(options.viewer_host, options.viewer_port, settings, notice=notice)
    viewer.start()
    logger.info(f'the live viewer is at {viewer.url}')
    return viewer
