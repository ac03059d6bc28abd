"""A text inside the bytes of a picture, where programs that list a picture's data show it.

Sources: PNG specification, section 11.3.3.3 (tEXt); ITU-T T.81, section B.2.4.5 (comment);
ITU-T T.871, section 10.1 (JFIF).
"""

from __future__ import annotations

import struct
import zlib

_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PNG_HEADER_END = len(_PNG_SIGNATURE) + 25
"""Length of the signature and of IHDR, which comes first."""
_JPEG_START = b'\xff\xd8'
_JFIF = b'\xff\xe0'
_JPEG_COMMENT = b'\xff\xfe'


def with_comment(data: bytes, text: str) -> bytes:
    """Return a PNG or JPEG with a text in it; without text, the picture as it is.

    Args:
        data: the encoded picture.
        text: ASCII, of fewer than 65,000 letters.
    """
    if not text:
        return data
    letters = text.encode('ascii', 'replace')
    if data.startswith(_PNG_SIGNATURE):
        body = b'tEXtComment\0' + letters
        chunk = struct.pack('>I', len(body) - 4) + body + struct.pack('>I', zlib.crc32(body))
        return data[:_PNG_HEADER_END] + chunk + data[_PNG_HEADER_END:]
    if data.startswith(_JPEG_START):
        comment = _JPEG_COMMENT + struct.pack('>H', len(letters) + 2) + letters
        start = len(_JPEG_START)
        if data[start:].startswith(_JFIF):
            # Which has to come first.
            start += 2 + int.from_bytes(data[start + 2 : start + 4], 'big')
        return data[:start] + comment + data[start:]
    return data
