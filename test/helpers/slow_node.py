"""The node's own entry point around an estimator that knows the truth and is slow.

Usage: slow_node.py DELAY_S --ros-args ...
"""

import sys

from da3_ros.ros.main import main
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.synthetic.world import make_world

if __name__ == '__main__':
    slow = TruthEstimator(make_world(), delay_s=float(sys.argv[1]))
    raise SystemExit(main(sys.argv, slow))
