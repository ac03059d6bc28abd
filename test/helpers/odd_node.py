"""The node's own entry point around an estimator that knows the truth, slow where told so.

Usage: odd_node.py LOAD_S EXPORT_S --ros-args ...

LOAD_S: how long loading the estimator takes.
EXPORT_S: how long an export rests after every step that it reports.
"""

from __future__ import annotations

from collections.abc import Callable
import sys
import time
from typing import Any
from unittest.mock import patch

from da3_ros.export.registry import export_scene
from da3_ros.options import NodeOptions
from da3_ros.ros.node.main import main
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.synthetic.world import make_world
from da3_ros.types import Estimator


def _say(line: str) -> None:
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


def _loaded(options: NodeOptions) -> Estimator:
    del options
    _say('loading')
    time.sleep(float(sys.argv[1]))
    return TruthEstimator(make_world())


def _slow_export(*scene: Any, progress: Callable[[float, str], None], **options: Any) -> Any:
    def rest(share: float, stage: str) -> None:
        progress(share, stage)
        _say(f'exporting {stage}')
        time.sleep(float(sys.argv[2]))

    return export_scene(*scene, progress=rest, **options)


if __name__ == '__main__':
    with patch('da3_ros.ros.node.exports.export_scene', _slow_export):
        raise SystemExit(main(sys.argv, _loaded))
