"""Names use the terms of the field, by the table in CONVENTIONS.md."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / 'da3_ros').rglob('*.py'))
ALIASES = {('inference/api.py', 'abilities')}
"""Names that users typed, kept for one release."""


def rejected_words() -> set[str]:
    """Return the single words of the last column, other than `published`, which has a meaning."""
    section = (ROOT / 'CONVENTIONS.md').read_text(encoding='utf-8').split('## Words')[1]
    rows = [line.strip('|').split('|') for line in section.splitlines() if line.startswith('| ')]
    words = {cells[2].strip().split()[0] for cells in rows[1:] if cells[2].strip()}
    return words - {'---', 'published'}


def names(tree: ast.AST) -> Iterator[str]:
    """Yield every name that a module gives to something."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


def parts(name: str) -> set[str]:
    """Return the words of a name in either style."""
    return {part.lower() for part in re.findall(r'[A-Z]?[a-z]+|[A-Z]+', name)}


def test_the_table_is_read() -> None:
    assert rejected_words() == {'way', 'told', 'blind', 'abilities', 'turned'}


@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_use_no_rejected_word(path: Path) -> None:
    module = str(path.relative_to(ROOT / 'da3_ros'))
    found = {
        name
        for name in names(ast.parse(path.read_text(encoding='utf-8')))
        if parts(name) & rejected_words() and (module, name) not in ALIASES
    }
    assert not found


def test_a_rejected_name_is_found() -> None:
    tree = ast.parse('class TurnedView:\n    def go(self, way):\n        self.told = way\n')
    assert {n for n in names(tree) if parts(n) & rejected_words()} == {'TurnedView', 'way', 'told'}
