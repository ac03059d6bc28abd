"""Images and clouds as bytes, with the pixels copied once.

Of a message with an array `rosbags` makes its bytes by way of several copies. Here the head of the
message is made once for each layout, and the pixels are put behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NS_PER_S = 1_000_000_000
# CDR, little-endian: behind its four bytes of encapsulation a message begins with its stamp.
_STAMP_AT = 4
_STAMP = Struct('<iI')
_LENGTH = Struct('<I')


@dataclass(frozen=True, slots=True)
class DataTemplate:
    """The bytes of a message with a header and a `data` (uint8[]) around stamp and data.

    Source: OMG DDS-XTypes, plain CDR: a sequence is its length, four bytes from a multiple of
    four on, then its items.
    """

    encapsulation: bytes
    head: bytes
    """From behind the stamp up to the length of `data`."""
    behind: bytes
    """What follows `data`, of fields that are aligned to single bytes."""

    @staticmethod
    def of(empty: bytes, bytes_behind: int = 0) -> DataTemplate:
        """Return the template of a message.

        Args:
            empty: CDR of the message without data.
            bytes_behind: of the fields that follow `data`, none of which is aligned.
        """
        data_at = len(empty) - bytes_behind
        return DataTemplate(
            empty[:_STAMP_AT],
            empty[_STAMP_AT + _STAMP.size : data_at - _LENGTH.size],
            empty[data_at:],
        )

    def filled(self, stamp_ns: int, data: NDArray[Any]) -> bytes:
        """Return the message with a stamp and the bytes of an array; any shape, any type."""
        content = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        return b''.join(
            (
                self.encapsulation,
                _STAMP.pack(stamp_ns // _NS_PER_S, stamp_ns % _NS_PER_S),
                self.head,
                _LENGTH.pack(content.size),
                content.data,
                self.behind,
            )
        )
