"""How the pixels of a video are to be shown: their shape, mirrored or rotated, their colours.

Sources: ISO 14496-12, 8.3.2 (matrix), H.264 Annex E and ISO 14496-12, 12.1.4 (pixel aspect
ratio), ITU-R BT.2100 and BT.2408 (PQ and HLG; reference white at 203 cd/m2).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
import math
from typing import Any

from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter
import numpy as np

from da3_ros.geometry.camera import ImageSize
from da3_ros.types import ColourImage

_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
# Anamorphic film is 2, no format of the field is beyond 4: such a number is damage.
_MOST_ASPECT = 8
_OFF_AXIS = math.sin(math.radians(2))


@dataclass(frozen=True, slots=True)
class Display:
    """What is done to stored pixels so that they are as they are shown."""

    aspect: Fraction = Fraction(1)
    """Width of a stored pixel by its height."""
    swaps_axes: bool = False
    """Whether rows become columns; done before the flips."""
    flips_columns: bool = False
    flips_rows: bool = False
    is_askew: bool = False
    """Whether the file asks for an angle between quarter turns; the nearest one is taken."""

    def stored_size(self, size: ImageSize, max_side: int | None) -> ImageSize:
        """Return the size that stored pixels are brought to: square pixels, at most `max_side`.

        Pixels that are not square are stretched, never shrunk: nothing of the picture is lost.
        """
        height, width = Fraction(size.height), Fraction(size.width)
        if self.aspect > 1:
            width *= self.aspect
        else:
            height /= self.aspect
        longest = max(round(height), round(width))
        if max_side is not None and longest > max_side:
            factor = Fraction(max_side) / max(height, width)
            height, width = height * factor, width * factor
        return ImageSize(max(1, round(height)), max(1, round(width)))

    def shown_size(self, size: ImageSize, max_side: int | None) -> ImageSize:
        """Return the size of what `shown` makes of a stored picture."""
        target = self.stored_size(size, max_side)
        return ImageSize(target.width, target.height) if self.swaps_axes else target

    def orient(self, pixels: ColourImage) -> ColourImage:
        """Return pixels (H, W, 3) mirrored and rotated as they are shown."""
        if self.swaps_axes:
            pixels = pixels.swapaxes(0, 1)
        if self.flips_rows:
            pixels = pixels[::-1]
        if self.flips_columns:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels)


def display_of(frame: Any, aspect: Fraction | None) -> Display:
    """Return how a decoded frame is to be shown.

    Args:
        frame: of PyAV.
        aspect: width of its pixels by their height, None when nobody says.
    """
    if aspect is None or not Fraction(1, _MOST_ASPECT) <= aspect <= _MOST_ASPECT:
        aspect = Fraction(1)
    stored = frame.side_data.get('DISPLAYMATRIX')
    if stored is None:
        return Display(aspect)
    # A stored pixel (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = np.frombuffer(bytes(stored), np.int32, 5).astype(float).tolist()
    swaps = abs(b) + abs(c) > abs(a) + abs(d)
    along, across = ((c, b), (a, d)) if swaps else ((a, d), (b, c))
    askew = max(map(abs, across)) > _OFF_AXIS * max(map(abs, along))
    return Display(aspect, swaps, along[0] < 0, along[1] < 0, askew)


class Pixels:
    """Turns decoded frames into RGB; of high dynamic range into that of a common screen."""

    def __init__(self) -> None:
        self._hdr = VideoReformatter()

    @staticmethod
    def is_hdr(frame: Any) -> bool:
        """Return whether brightness is stored by PQ or HLG."""
        return frame.color_trc in _HDR

    @staticmethod
    def has_alpha(frame: Any) -> bool:
        """Return whether some pixel of a frame is transparent."""
        if not any(part.is_alpha for part in frame.format.components):
            return False
        return bool(frame.to_ndarray(format='rgba')[..., 3].min() < np.iinfo(np.uint8).max)

    def shown(self, frame: Any, display: Display, size: ImageSize) -> ColourImage:
        """Return what is shown of a frame, (H, W, 3) uint8 RGB.

        Args:
            frame: of PyAV.
            display: how it is shown.
            size: of the stored picture after scaling, see `Display.stored_size`.
        """
        change: dict[str, Any] = {}
        if size != ImageSize(frame.height, frame.width):
            shrinks = size.height <= frame.height and size.width <= frame.width
            interpolation = 'AREA' if shrinks else 'BICUBIC'
            change = {'width': size.width, 'height': size.height, 'interpolation': interpolation}
        if self.is_hdr(frame):
            frame = self._hdr.reformat(
                frame,
                format='rgb24',
                dst_color_trc=ColorTrc.IEC61966_2_1,
                dst_color_primaries=ColorPrimaries.BT709,
                **change,
            )
        elif change:
            frame = frame.reformat(**change)
        return display.orient(frame.to_ndarray(format='rgb24'))
