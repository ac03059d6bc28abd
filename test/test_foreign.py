"""The guard before files of others: one error, one printable line, and nothing of ours in it."""

from pathlib import Path
import struct
import zipfile
import zlib

import pytest

from da3_ros.errors import CheckpointError, Da3Error, SourceError
from da3_ros.foreign import MAX_REASON_LENGTH, expanded, foreign_file, plain_line, plain_path
from da3_ros.inference.hub import find_checkpoint


class PanicException(BaseException):
    """Stands for what libraries in Rust raise where they give up."""


RAISED = [
    ValueError('one\ntwo\x00\x1b[31m'),
    ValueError('x' * 100_000),
    ValueError(),
    KeyError('width'),
    IndexError(3),
    RecursionError('maximum recursion depth exceeded'),
    MemoryError(),
    UnicodeDecodeError('utf-8', b'ab\xe9', 2, 3, 'invalid'),
    OverflowError('Python int too large to convert to C long'),
    ZeroDivisionError('Fraction(0, 0)'),
    FileNotFoundError(2, 'No such file or directory', 'x'),
    struct.error('unpack requires a buffer of 4 bytes'),
    zipfile.BadZipFile('Bad magic number'),
    zlib.error('Error -3'),
    StopIteration(),
    AttributeError("'int' object has no attribute 'get'"),
    PanicException('index out of bounds'),
]


@pytest.mark.parametrize('raised', RAISED, ids=lambda raised: type(raised).__name__)
def test_whatever_is_raised_becomes_one_line(raised: BaseException) -> None:
    with pytest.raises(SourceError) as caught, foreign_file('a\udce9\n.npz', 'npz'):
        raise raised
    text = str(caught.value)
    assert text.startswith('npz a\\xe9 .npz: cannot be read: ')
    assert text.isprintable()
    assert len(text) < MAX_REASON_LENGTH + 50
    assert len(text.partition(': cannot be read: ')[2]) > 2
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize('raised', [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_ends_a_program_passes(raised: BaseException) -> None:
    with pytest.raises(type(raised)), foreign_file('a'):
        raise raised


def test_our_own_errors_pass_as_they_are() -> None:
    ours = CheckpointError('a: as it is\nover two lines')
    with pytest.raises(Da3Error) as caught, foreign_file('a'):
        raise ours
    assert caught.value is ours


def test_the_class_of_the_error_is_chosen() -> None:
    with (
        pytest.raises(CheckpointError, match=r'^a: cannot be read: no$'),
        foreign_file('a', error=CheckpointError),
    ):
        raise ValueError('no')


def test_a_line_is_cut_where_it_is_too_long() -> None:
    assert plain_line('ab  \n cd') == 'ab cd'
    assert plain_line('x' * 30, 10) == 'xxxxxxx...'
    assert plain_line('\0' * 30, 10) == '\\x00\\x0...'
    assert plain_path('größe.png') == 'größe.png'


def test_the_home_of_nobody_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/me')
    assert expanded('~/a') == Path('/home/me/a')
    assert expanded(Path('~nobody-of-this-name/a')) == Path('~nobody-of-this-name/a')
    with pytest.raises(CheckpointError, match='there is no such folder'):
        find_checkpoint('~nobody-of-this-name/a/b')
