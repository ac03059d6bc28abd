"""docs/troubleshooting.md against the table of reasons, and every row against a test."""

from __future__ import annotations

from pathlib import Path
import re

import pytest

from da3_ros.reasons import Reason
from tools.reason_docs import PAGE, render

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for path in (ROOT / 'da3_ros').rglob('*.py') if path.parent.name != 'reasons']
TESTS = list((ROOT / 'test' / 'ros' / 'reasons').glob('test_*.py'))


def names_in(paths: list[Path]) -> set[str]:
    text = '\n'.join(path.read_text(encoding='utf-8') for path in paths)
    return set(re.findall(r'\bReason\.([A-Z_]+)\b', text))


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text(encoding='utf-8') == render(), 'run python tools/reason_docs.py'


@pytest.mark.parametrize('reason', list(Reason), ids=lambda reason: reason.name)
def test_every_row_is_raised_and_reached_over_dds(reason: Reason) -> None:
    assert reason.name in names_in(SOURCES), 'nothing raises it: delete the row'
    assert reason.name in names_in(TESTS), 'no test in test/ros/reasons reaches it'
