"""Furnished rooms, three cameras that drive through them, and everything that is true about them.

Owns analytic scenes that are rendered by ray casting: exact depth, poses and intrinsics for every
image. Knows neither networks, files nor messages. Start with `family_world.make_family_world`, a
room that looks as what da3-nano was trained on, or `world.make_world`, one that does not; `truth`
answers like a network, but with the truth.
"""

from da3_ros.synthetic.family_world import FamilyWorld, make_family_world
from da3_ros.synthetic.render import RenderedView
from da3_ros.synthetic.rig import SyntheticRig
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.synthetic.world import RoomWorld, SyntheticWorld, make_world

__all__ = [
    'START_NS',
    'FamilyWorld',
    'RenderedView',
    'RoomWorld',
    'SyntheticRig',
    'SyntheticWorld',
    'TruthEstimator',
    'make_family_world',
    'make_world',
]
