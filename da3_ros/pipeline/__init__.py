"""From camera frames to one world: where estimator, stream and store are joined.

No thread and no middleware: the node, offline programs and tests run the same code.
"""
