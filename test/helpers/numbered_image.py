"""Images whose bytes say which one they are, so that a receiver can check every byte."""

import hashlib


def pixels(number: int, height: int, width: int) -> bytes:
    """Return the bytes of rgb8 image `number`: the number, then a pattern that differs by number.

    Args:
        number: Index of the image, below 2 to the power of 32.
        height: Rows.
        width: Columns.

    Returns:
        `3 * height * width` bytes.
    """
    row = hashlib.shake_128(number.to_bytes(4, 'little')).digest(3 * width)
    return number.to_bytes(4, 'little') + (row * height)[4:]
