"""A furnished room, three cameras that drive through it, and everything that is true about it.

Owns analytic scenes that are rendered by ray casting: exact depth, poses and intrinsics for every
image. Knows neither networks, files nor messages. Start with `world.make_world`; `truth` answers
like a network, but with the truth.
"""

from da3_ros.synthetic.render import RenderedView
from da3_ros.synthetic.rig import SyntheticRig
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.synthetic.world import SyntheticWorld, make_world

__all__ = [
    'START_NS',
    'RenderedView',
    'SyntheticRig',
    'SyntheticWorld',
    'TruthEstimator',
    'make_world',
]
