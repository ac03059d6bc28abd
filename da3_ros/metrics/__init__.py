"""How far estimates are from the truth: trajectories, depth, and what they say of their error.

Trajectories: `association`, `alignment`, `trajectory`, `pose_pairs`. Depth: `depth` for two
images, `depth_set` for many of them, read one at a time. `calibration` compares stated spreads
and confidence with the errors that came. docs/evaluation.md has the definitions.
"""
