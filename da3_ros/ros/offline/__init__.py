"""A recording through the pipeline of the node, without a node: every image once.

Owns the order in which a bag is read, and what a run that was interrupted needs to go on. Nothing
here needs a ROS 2 installation. Start with `run`.
"""
