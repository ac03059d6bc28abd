"""`make mutants` finds holes of the tests, repeats by its seed and leaves the project alone."""

import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

from tools.mutants.__main__ import ROOMS, ROOT, changes_in, draw, draw_all
from tools.mutants.bench import Project
from tools.mutants.changes import Change, changes_of
from tools.mutants.equivalent import LIST, Equivalents

SEED = 4
"""Draws both changes of the hole."""
HALF = '''"""Halves."""


def half(x: float) -> float:
    """Return x / 2."""
    return x / 2


def is_small(x: float) -> bool:
    """Say whether x is below ten."""
    return x < 10
'''
TESTS = """from tiny.room.halves import half, is_small


def test_half():
    assert half(3) == 1.5


def test_small():
    assert is_small(9)
    assert not is_small(11)
"""
LOOP = '''def count_down(x: int) -> int:
    """Return zero, step by step."""
    while x > 0:
        x -= 1
    return x
'''
LOOP_TESTS = """from tiny.room.loop import count_down


def test_count_down():
    assert count_down(3) == 0
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Give a project with one module, whose tests do not look at the bound of `is_small`."""
    for file, text in {
        'tiny/__init__.py': '',
        'tiny/room/__init__.py': '',
        'tiny/room/halves.py': HALF,
        'test/room/test_halves.py': TESTS,
        'pyproject.toml': '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\n',
        'same.yaml': '{}\n',
    }.items():
        path = tmp_path / 'project' / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
    return tmp_path / 'project'


def run(tiny: Path, *arguments: str) -> tuple[int, str, dict[tuple[int, str], str]]:
    """Return the exit status, what was printed, and the verdict by line and change."""
    out = tiny.parent / 'outcomes.json'
    out.unlink(missing_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'tools.mutants', '--root', str(tiny), '--package', 'tiny'),
            *('--rooms', 'room', '--equivalent', str(tiny / 'same.yaml'), '--json', str(out)),
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, 'PYTHONDONTWRITEBYTECODE': '1'},
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(out.read_text(encoding='utf-8'))['outcomes'] if out.exists() else []
    verdicts = {(row['line'], row['change']): row['verdict'] for row in told}
    return done.returncode, done.stdout + done.stderr, verdicts


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


def test_a_planted_hole_is_found_and_nothing_else_and_the_project_stays(tiny: Path) -> None:
    before = content(tiny)
    status, printed, verdicts = run(tiny, '--number', '100', '--seed', str(SEED))
    assert content(tiny) == before
    holes = {place for place, verdict in verdicts.items() if verdict == 'not noticed'}
    assert holes == {(11, '< -> <='), (11, '10 -> 11')}
    assert {line for line, _ in verdicts} == {6, 11}
    assert len(verdicts) == 4  # /, 2, < and 10
    assert verdicts[6, '/ -> *'] == 'noticed'
    assert f'seed {SEED}' in printed
    assert '50.0%' in printed
    assert status == 1


def test_all_changes_of_a_line_are_tried_and_a_hole_is_told_by_the_exit_status(tiny: Path) -> None:
    status, printed, verdicts = run(tiny, '--only', 'tiny/room/halves.py:11')
    assert status == 1
    assert verdicts == {
        (11, '< -> <='): 'not noticed',
        (11, '< -> >'): 'noticed',
        (11, '10 -> 11'): 'not noticed',
        (11, '10 -> 9'): 'noticed',
    }
    assert 'tiny/room/halves.py:11: not noticed: < -> <=\n    return x < 10' in printed


def test_tests_without_an_end_are_ended(tiny: Path) -> None:
    """With x += 1 the loop of `count_down` goes on for ever."""
    (tiny / 'tiny/room/loop.py').write_text(LOOP, encoding='utf-8')
    (tiny / 'test/room/test_loop.py').write_text(LOOP_TESTS, encoding='utf-8')
    _, _, verdicts = run(tiny, '--only', 'room/loop.py:4', '--least-s', '1')
    assert verdicts[4, '- -> +'] == 'timed out'


def test_what_is_listed_is_not_counted_and_stale_entries_are_told(tiny: Path) -> None:
    (tiny / 'same.yaml').write_text(
        'tiny/room/halves.py:\n'
        '  return x < 10:\n'
        '    "< -> <=": nobody has ten\n'
        '    "10 -> 11": "free: about ten"\n'
        '  return x < 12:\n'
        '    "< -> <=": gone\n',
        encoding='utf-8',
    )
    status, printed, verdicts = run(tiny, '--only', 'room/halves.py:11')
    assert status == 0
    assert verdicts[11, '< -> <='] == 'equivalent'
    assert verdicts[11, '10 -> 11'] == 'free choice'
    assert 'has no such line any more: return x < 12 (< -> <=)' in printed
    assert '100.0%' in printed


def test_tests_that_fail_without_a_change_are_told_by_name(tiny: Path) -> None:
    (tiny / 'test/room/test_halves.py').write_text(TESTS.replace('1.5', '2'), encoding='utf-8')
    status, printed, verdicts = run(tiny)
    assert status == 2
    assert 'test_halves.py::test_half' in printed
    assert not verdicts


def test_a_seed_repeats_and_another_one_does_not(tiny: Path) -> None:
    groups = changes_in(Project(ROOT, 'da3_ros'), 'geometry')
    assert draw(groups, 30, 4) == draw(groups, 30, 4)
    assert draw(groups, 30, 4) != draw(groups, 30, 5)
    both = draw_all(groups, 30, [4, 5])
    assert set(both) == set(draw(groups, 30, 4)) | set(draw(groups, 30, 5))
    assert len(set(both)) == len(both)
    assert len({change.start for change in draw(groups, 10**6, 4)}) > 100


def found(source: str) -> set[tuple[str, str]]:
    return {
        (change.name, change.apply(source))
        for group in changes_of(source, 'x')
        for change in group
    }


@pytest.mark.parametrize(
    ('source', 'wanted'),
    [
        ('y = (a) + (b)\n', {('+ -> -', 'y = (a) - (b)\n')}),
        ("y = 'ä' * (  # a * b\n  x)\n", {('* -> /', "y = 'ä' / (  # a * b\n  x)\n")}),
        ('y = a not in b\n', {('not in -> in', 'y = a in b\n')}),
        ('y = not (a)\n', {('not -> nothing', 'y =  (a)\n')}),
        ('y = min(a)\n', {('min -> max', 'y = max(a)\n')}),
        ('y = 0\n', {('0 -> 1', 'y = 1\n')}),
        ('y = 0.5\n', {('0.5 -> 1.0', 'y = 1.0\n'), ('0.5 -> 0.25', 'y = 0.25\n')}),
        ('y = a[b:]\n', {('b -> (b + 1)', 'y = a[(b + 1):]\n')}),
        ('y = a if b else c\n', {('b -> (not (b))', 'y = a if (not (b)) else c\n')}),
        ('y -= x\n', {('- -> +', 'y += x\n')}),
        ('y = a + b + c\n', {('+ -> -', 'y = a - b + c\n'), ('+ -> - #2', 'y = a + b - c\n')}),
    ],
)
def test_every_change_is_at_its_exact_place(source: str, wanted: set[tuple[str, str]]) -> None:
    assert found(source) == wanted


@pytest.mark.parametrize(
    'source',
    [
        '"""About 1 + 1."""\n',
        '__all__ = ["a", *b[:3]]\n',
        'def f(a: A | B = None) -> A | B:\n    """Return 1."""\n',
        'x: Annotated[int, 3]\n',
        'raise ValueError(a + 1)\n',
        'log.warning("%d", a + 1)\n',
        'assert a < 1\n',
        'y = f"{a + 1}"\n',
        'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    a = 1\n',
        '@dataclass(frozen=True)\nclass A:\n    pass\n',
        'y = zip(a, b, strict=True)\n',
    ],
)
def test_what_nobody_can_notice_is_not_changed(source: str) -> None:
    assert not found(source)


def test_all_modules_of_the_rooms_can_be_changed() -> None:
    project = Project(ROOT, 'da3_ros')
    for room in ROOMS:
        everything: list[Change] = [c for group in changes_in(project, room) for c in group]
        # The pipeline only connects what others do.
        assert len(everything) > (50 if room == 'pipeline' else 500)
        assert len({(c.file, c.line, c.name) for c in everything}) == len(everything)


def test_every_entry_of_the_list_has_a_reason() -> None:
    for key, why in Equivalents.read(LIST).why.items():
        assert len(why.removeprefix('free:').split()) >= 3, key
