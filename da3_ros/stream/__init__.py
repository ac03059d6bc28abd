"""From images of several cameras to geometry in one world.

Owns synchronisation (`sync`), sliding windows (`window`), the hand-over to the worker
(`latest_slot`), the placement of windows into the world (`alignment`, `scale`, `rig`,
`reconstructor`), and what is kept of it (`scene_store`, `trajectory`, `stats`). Knows networks
only as `types.Estimator`; no middleware, no wall clock. Start with `reconstructor`.
"""
