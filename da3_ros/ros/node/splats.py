"""Gaussians for exports, made by the network of the worker."""

from __future__ import annotations

from collections.abc import Callable

from da3_ros.errors import ExportError
from da3_ros.export.gs_scene import SplatSource
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import DEFAULT_OPTIONS
from da3_ros.export.scene import ExportScene
from da3_ros.ros.node.worker import Worker
from da3_ros.types import Estimator

_WHAT = 'the Gaussians of an export are still being computed'


class WorkerSplats:
    """Asks the worker for Gaussians.

    Args:
        worker: owns the network.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def with_gaussians(self, scene: ExportScene, cancelled: Callable[[], bool]) -> ExportScene:
        """Return views of a scene with Gaussians in its world.

        Args:
            scene: the views.
            cancelled: asked now and then.

        Raises:
            ExportError: the network gives no Gaussians.
            ExportCancelledError: `cancelled` said so.
            NodeError: the network was let go.
        """
        return self._worker.ask(_WHAT, lambda network: _with_gaussians(network, scene), cancelled)

    def export_options(self, cancelled: Callable[[], bool]) -> ExportOptions:
        """Return options with the fastest renderer of Gaussians that there is.

        Args:
            cancelled: asked now and then.
        """
        return self._worker.ask(_WHAT, _export_options, cancelled)


def _with_gaussians(network: Estimator, scene: ExportScene) -> ExportScene:
    if not isinstance(network, SplatSource):
        raise ExportError(
            'the node runs no network that gives Gaussians; da3-giant and da3nested-giant-large do'
        )
    return network.with_gaussians(scene)


def _export_options(network: Estimator) -> ExportOptions:
    return network.export_options() if isinstance(network, SplatSource) else DEFAULT_OPTIONS
