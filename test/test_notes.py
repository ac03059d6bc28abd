"""Notes are values: codes that somebody says, and words that are joined but never taken apart."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from da3_ros.notes import SEPARATOR, Note, NoteCode, joined

PACKAGE = Path(__file__).resolve().parents[1] / 'da3_ros'
TAKES_APART = ('split', 'rsplit', 'partition', 'rpartition', 'splitlines')


def calls() -> Iterator[ast.Call]:
    for path in sorted(PACKAGE.rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call):
                yield node


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, 'id', '')


def test_sentences_are_joined_in_their_order() -> None:
    notes = [Note('caution', 'one; with a semicolon'), Note('scale_kept', 'two', {'windows': 3})]
    assert joined(notes) == 'one; with a semicolon; two'
    assert joined([]) == ''


def test_the_same_note_is_equal_and_numbers_tell_notes_apart() -> None:
    assert Note('scale_kept', 'x', {'a': 1}) == Note('scale_kept', 'x', {'a': 1.0})
    assert Note('scale_kept', 'x', {'a': 1}) != Note('scale_kept', 'x', {'a': 2})
    assert len({Note('scale_kept', 'x', {'a': 1}), Note('scale_kept', 'x', {'a': 1})}) == 1


def test_every_code_is_said_somewhere() -> None:
    said = {
        call.args[0].value
        for call in calls()
        if name_of(call.func) in ('Note', 'say') and call.args
        if isinstance(call.args[0], ast.Constant)
    }
    assert said == set(get_args(NoteCode))


def test_nothing_takes_joined_notes_apart() -> None:
    found = [
        ast.unparse(call)
        for call in calls()
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in TAKES_APART
        and any(
            isinstance(arg, ast.Constant)
            and isinstance(arg.value, str)
            and arg.value.strip() == SEPARATOR.strip()
            for arg in call.args
        )
    ]
    assert found == []
