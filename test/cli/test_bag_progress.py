"""The line that says how far `da3 bag` is."""

from __future__ import annotations

import io
import logging
import sys
import time

import pytest

from da3_ros.cli.bag_report import ProgressLine
from da3_ros.ros.offline.run import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_narrow_terminal_shows_what_is_left_and_warnings_lines_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stderr', terminal)
    monkeypatch.setenv('COLUMNS', '40')
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    handler, root = logging.StreamHandler(terminal), logging.getLogger()
    monkeypatch.setattr(root, 'handlers', [handler])
    with ProgressLine() as line:
        line.begin()
        # An engine was built for the first window: an hour that the rate knows nothing of.
        for sets, fraction, at_s in ((0, 0.0, 0.0), (1, 0.01, 3600.0), (11, 0.11, 3700.0)):
            now[0] = 100.0 + at_s
            line(Progress(fraction, 100 * fraction, sets, is_replay=False))
        root.warning('mind the gap')
    shown = terminal.getvalue().replace('\r', '\n').splitlines()
    assert any('11%' in text and '14 min' in text and 'left' in text for text in shown), shown
    assert 'mind the gap' in [text.strip() for text in shown]
    assert root.handlers == [handler]
