"""The live viewer: what the pipeline reconstructs, in a browser. Knows neither ROS nor torch."""

from da3_ros.web.settings import ViewSettings
from da3_ros.web.viewer import LiveViewer

__all__ = ['LiveViewer', 'ViewSettings']
