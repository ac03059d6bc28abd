"""From images of several cameras to geometry in one world.

Owns synchronisation (`sync`), sliding windows (`window`), the rotation of views for the network
(`input_views`), the placement of windows into the world (`alignment`, `scale`, `rig`,
`reconstructor`), and what is kept of it (`scene_store`, `stats`). Knows networks
only as `types.Estimator`; no middleware, no wall clock. Start with `reconstructor`.
"""
