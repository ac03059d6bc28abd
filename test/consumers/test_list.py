"""docs/consumers.md and the tests are one list."""

from __future__ import annotations

import ast
import re

from helpers.ros_process import ROOT

PAGE = ROOT / 'docs' / 'consumers.md'
HEADINGS = ('demand', 'source', 'topic', 'what we do', 'test')


def rows() -> list[list[str]]:
    """Return the cells of every row of the tables of demands."""
    found: list[list[str]] = []
    for part in PAGE.read_text(encoding='utf-8').split('\n\n'):
        if part.startswith('| demand |'):
            lines = [line.strip('|').split('|') for line in part.strip().splitlines()]
            assert tuple(cell.strip() for cell in lines[0]) == HEADINGS
            found += [[cell.strip() for cell in line] for line in lines[2:]]
    return found


def names_of_tests() -> list[str]:
    """Return the names of all tests of consumers but those of this file."""
    files = sorted((ROOT / 'test' / 'consumers').glob('test_*.py'))
    trees = [ast.parse(f.read_text(encoding='utf-8')) for f in files if f.stem != 'test_list']
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [f.name for f in functions if f.name.startswith('test_')]


def test_every_row_has_a_demand_a_source_and_a_test_that_exists() -> None:
    names = set(names_of_tests())
    assert rows()
    for row in rows():
        assert len(row) == len(HEADINGS), row
        demand, source, topic, _, test = row
        assert demand, row
        assert topic, row
        assert '`' in source or 'as above' in source or 'the same' in source, row
        assert re.fullmatch(r'`\w+`', test), row
        assert test.strip('`') in names, row


def test_every_test_is_in_a_row() -> None:
    listed = {row[-1].strip('`') for row in rows()}
    assert set(names_of_tests()) - listed == set()


def test_no_two_tests_have_one_name() -> None:
    assert len(names_of_tests()) == len(set(names_of_tests()))
