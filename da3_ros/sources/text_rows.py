"""Lines of numbers and names in text files of others, one row a line, within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation, localcontext
from pathlib import Path

from da3_ros.foreign import foreign_file, open_regular, plain_line, plain_path

MAX_FILE_BYTES = 512 << 20
"""Two hours of poses at 200 Hz are less than half of it."""
MAX_LINE_BYTES = 4096

_NS_PER_S = 1_000_000_000
_DIGITS_OF_NS = 9
_MOST_SECONDS_DIGITS = 10
_LARGEST_NS = 2**63 - 1
# Decimal places of a stamp beyond which nothing is looked at.
_PRECISION = 60
_BOM = b'\xef\xbb\xbf'
_SHOWN = 60


class LeftOut:
    """Lines of one file that could not be used: how many, and why the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._first = ''

    def add(self, line: int, reason: str) -> None:
        """Count a line."""
        self.count += 1
        self._first = self._first or f'line {line}: {plain_line(reason, 200)}'

    def said(self) -> str:
        """Return the sentence for people."""
        more = f' (and {self.count - 1} more)' if self.count > 1 else ''
        return f'{plain_path(self.path)}: left out {self._first}{more}'


def rows(path: Path, left_out: LeftOut) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines of a file, without empty ones and surrounding blanks.

    Lines end with LF or CRLF; a byte order mark is skipped. Lines that are no UTF-8 text, hold NUL
    or are longer than `MAX_LINE_BYTES` are counted.

    Raises:
        SourceError: the file cannot be opened, is no regular one, or larger than
            `MAX_FILE_BYTES`.
    """
    with foreign_file(path), open_regular(path) as file:
        size = file.seek(0, 2)
        if size > MAX_FILE_BYTES:
            raise ValueError(f'expected at most {MAX_FILE_BYTES} bytes, it has {size}')
        file.seek(0)
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if not line.endswith(b'\n') and len(line) == MAX_LINE_BYTES:
                while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b'\n'):
                    pass
                left_out.add(number, f'expected at most {MAX_LINE_BYTES} bytes, it has more')
                continue
            if number == 1:
                line = line.removeprefix(_BOM)
            text = _text(line)
            if text is None:
                left_out.add(number, f'expected UTF-8 text, got {line[:_SHOWN]!r}')
            elif text:
                yield number, text


def numbers(fields: list[str]) -> list[float]:
    """Return fields as numbers; NaN and infinities are some, too.

    Raises:
        ValueError: a field is no number; says which.
    """
    try:
        return [float(field) for field in fields]
    except ValueError as error:
        raise ValueError(
            f'expected numbers, got {plain_line(" ".join(fields), _SHOWN)!r}'
        ) from error


def stamp_of_seconds(text: str) -> int:
    """Return decimal seconds as whole nanoseconds, exactly; finer digits are rounded.

    Raises:
        ValueError: it is no number, or outside of what 64 bits of nanoseconds hold.
    """
    whole, _, part = text.partition('.')
    if (
        0 < len(whole) <= _MOST_SECONDS_DIGITS
        and len(part) <= _DIGITS_OF_NS
        and whole.isascii()
        and whole.isdigit()
        and (not part or (part.isascii() and part.isdigit()))
    ):
        stamp = int(whole) * _NS_PER_S + int(part.ljust(_DIGITS_OF_NS, '0'))
        if stamp <= _LARGEST_NS:
            return stamp
    return _whole(text, _DIGITS_OF_NS)


def stamp_of_nanoseconds(text: str) -> int:
    """Return a stamp that is given in nanoseconds, as `stamp_of_seconds`.

    Raises:
        ValueError: as of `stamp_of_seconds`, or it has a fraction, as seconds have.
    """
    if text.partition('.')[2].strip('0'):
        raise ValueError(
            f'expected whole nanoseconds as in the lines before, got {plain_line(text, _SHOWN)!r}'
        )
    return _whole(text, 0)


def _whole(text: str, shift: int) -> int:
    """Return a decimal number times 10 to the power of `shift` as a whole one."""
    with localcontext() as context:
        context.prec = _PRECISION
        try:
            value = Decimal(text)
            # A small text may name a number of a billion digits.
            is_plain = text.isascii() and '_' not in text
            if not is_plain or not value.is_finite() or value.adjusted() > len(str(_LARGEST_NS)):
                raise ValueError(f'expected a stamp, got {plain_line(text, _SHOWN)!r}')
            if value.adjusted() < -_PRECISION:
                return 0
            stamp = int(value.scaleb(shift).to_integral_value())
        except InvalidOperation as error:
            raise ValueError(f'expected a stamp, got {plain_line(text, _SHOWN)!r}') from error
    if abs(stamp) > _LARGEST_NS:
        raise ValueError(f'expected a stamp of at most 64 bits, got {plain_line(text, _SHOWN)!r}')
    return stamp


def _text(line: bytes) -> str | None:
    if b'\0' in line:
        return None
    try:
        return line.decode('utf-8').strip()
    except UnicodeDecodeError:
        return None
