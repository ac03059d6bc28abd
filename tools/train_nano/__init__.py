"""Training of da3-nano, the small any-view network that ships with the package.

`python -m tools.train_nano --help` says how. Scenes come from `tools.train_nano.scenes`, the
network is `da3_ros.model`'s own; nothing here is needed to use the weights.
"""
