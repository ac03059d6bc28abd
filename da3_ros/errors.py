"""Errors that callers may want to tell apart, one subclass per package.

A message says what was expected, what came, where (camera, file, window) and what to do. An
error means that the caller must change something; weak data (a window that could not be aligned,
a view without valid depth) is a result with a report, never an exception.
"""

import re
from typing import Any

_USER_OF_ADDRESS = re.compile(r'(\b[a-z][a-z0-9+.-]*://)[^/\s\'"]*@', re.IGNORECASE)


class Da3Error(Exception):
    """Base of every error this package raises on purpose."""


class GeometryError(Da3Error):
    """Raised when a geometric quantity is undefined: degenerate points, a bad rotation or K."""


class ConfigError(Da3Error):
    """Raised when an option is unknown or outside its declared bounds."""


class ModelError(Da3Error):
    """Raised when a network is asked for something that its configuration cannot do."""


class NoPosesError(ModelError):
    """Raised when a network for single views gets several, and nothing gives their poses."""


class CheckpointError(Da3Error):
    """Raised when weights cannot be found, or do not fit the network, tensor by tensor."""


class PreprocessError(Da3Error):
    """Raised when an image cannot become network input."""


class ExportError(Da3Error):
    """Raised when a scene cannot be written: path, format or content.

    Where `DepthAnything3.inference` had computed it by then, `prediction` is its result.
    """

    def __init__(self, message: str = '', prediction: Any = None) -> None:
        super().__init__(message)
        self.prediction = prediction
        """The `Prediction` that could not be written; None where nothing was computed."""


class ExportCancelledError(ExportError):
    """Raised when whoever asked for an export withdrew the request; nothing was left behind."""


class StreamError(Da3Error):
    """Raised when the stream is configured or fed in a way that it cannot honour."""


class PipelineError(Da3Error):
    """Raised when a window fails; its cause is what went wrong, and the next window goes on."""


class SourceError(Da3Error):
    """Raised when a bag, a video or a folder cannot be read."""


class SinkError(Da3Error):
    """Raised when a bag cannot be written."""


class MessageError(Da3Error):
    """Raised when a ROS message cannot be understood; names the topic and the field."""


class WebError(Da3Error):
    """Raised when a page cannot be served: a package is missing, or the port is taken."""


class NodeError(Da3Error):
    """Raised when the node cannot start or serve: parameters, names, missing ROS pieces."""


def without_credentials(text: str) -> str:
    """Return a text for log and screen: addresses in it have lost their user and password."""
    return _USER_OF_ADDRESS.sub(r'\1', text)
