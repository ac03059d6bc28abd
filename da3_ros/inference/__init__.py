"""From images to predictions: everything around the networks of `da3_ros.model`.

This package owns image preprocessing, checkpoints, the alignment of predictions to known cameras,
the public class `DepthAnything3` and the estimator that the stream uses. It knows nothing of ROS
and of the stream. Start reading at `api.py`; `engine.py` adapts it to windows of camera frames.
"""
