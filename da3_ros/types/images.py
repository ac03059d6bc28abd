"""Arrays of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ColourImage = NDArray[np.uint8]
FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]
