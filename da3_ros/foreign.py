"""Files of others behind one guard: whatever a library raises becomes one error, one line.

Parsers that meet arbitrary bytes raise anything: a `struct.error`, a `RecursionError`, an
`AttributeError` of a field that is no number. None of that helps a user, who needs to know which
file it is and that it cannot be read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
import os
from pathlib import Path
import re
import stat

from da3_ros.errors import Da3Error, SourceError

MAX_REASON_LENGTH = 300
"""Characters of what a library said; a parser may quote a whole file."""

_MAX_PATH_LENGTH = 1000
_RUST_PANIC = 'PanicException'
"""What a library in Rust raises where it gives up: no Exception, though it ends nothing."""


@contextmanager
def foreign_file(
    path: Path | str, what: str = '', error: type[Da3Error] = SourceError
) -> Iterator[None]:
    """Turn whatever is raised while a file of others is read into an error of ours.

    Errors of ours, an interrupt and an exit pass as they are. Not around a `yield` of a context
    manager: what its user raises would be blamed on the file.

    Args:
        path: The file, named in the message.
        what: What it was read as, e.g. `npz`; empty leaves it out.
        error: Class of the error.

    Raises:
        Da3Error: Of that class: `WHAT PATH: cannot be read: REASON`, one printable line.
    """
    try:
        yield
    except Da3Error:
        raise
    except Exception as raised:
        raise error(_message(path, what, raised)) from raised
    except BaseException as raised:
        if type(raised).__name__ != _RUST_PANIC:
            raise
        raise error(_message(path, what, raised)) from raised


def reason_of(raised: BaseException) -> str:
    """Return what an exception of a library says, as one printable line of bounded length."""
    text = plain_line(str(raised))
    if isinstance(raised, MemoryError):
        return 'it takes more memory than there is'
    if isinstance(raised, RecursionError):
        return 'it is nested too deeply'
    if isinstance(raised, UnicodeDecodeError):
        byte = raised.object[raised.start]
        return f'expected {raised.encoding} text, got byte 0x{byte:02x} at {raised.start}'
    if isinstance(raised, OSError) and raised.strerror:
        return plain_line(raised.strerror)
    if isinstance(raised, KeyError):
        return f'it has no entry {text}'
    is_of_code = isinstance(raised, (TypeError, AttributeError, IndexError, AssertionError))
    if is_of_code or not text:
        # Words about code say little of a file; the class tells at least what kind they are.
        return f'{type(raised).__name__}: {text}' if text else type(raised).__name__
    return text


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading; a device or a pipe, which may never end, is refused.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is no regular file.
    """
    # Opening a pipe would wait for its writer.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ValueError('expected a regular file, it is a folder, a device or a pipe')
    return os.fdopen(number, 'rb')


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file that is not larger than a limit.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger, or no regular file.
    """
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f'expected at most {limit} bytes, it is larger')
    return data


def expanded(path: Path | str) -> Path:
    """Return a path with the home of a user in place of `~`.

    Where nobody knows that home the path stays as it is, as in shells: it names nothing then.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def plain_line(text: object, limit: int = MAX_REASON_LENGTH) -> str:
    """Return text of others as one line that every terminal can show.

    Args:
        text: Anything; its `str` is shown.
        limit: Characters kept; three dots stand for the rest.
    """
    # Cut before the work, and once more after it: an escape is longer than what it stands for.
    line = re.sub(r'\s+', ' ', str(text)[: 4 * limit]).strip()
    line = ''.join(char if char.isprintable() else _escape(char) for char in line)
    return line if len(line) <= limit else f'{line[: limit - 3]}...'


def plain_path(path: Path | str) -> str:
    """Return the name of a file as one printable line; bytes that are no text escaped."""
    return plain_line(os.fspath(path), _MAX_PATH_LENGTH)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        # A byte of a file name that is no UTF-8, as Python keeps it.
        return f'\\x{code - 0xDC00:02x}'
    return char.encode('unicode_escape').decode()


def _message(path: Path | str, what: str, raised: BaseException) -> str:
    name = f'{what} {plain_path(path)}' if what else plain_path(path)
    return f'{name}: cannot be read: {reason_of(raised)}'
