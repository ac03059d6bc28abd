"""What is said of recordings: the reasons of the node, in words that fit where there is none."""

from __future__ import annotations

from pathlib import Path
import re
from string import Formatter

import pytest

from da3_ros.reasons import Reason, recorded_text

PACKAGE = Path(__file__).resolve().parents[2] / 'da3_ros'
# What only a node raises lies in its own room, and in what listens and publishes.
OF_NODES = ('ros/node/', 'ros/tf/listener.py', 'ros/tf/publisher.py', 'reasons/')
# What no recording has: middleware, a clock, the speed of a network, a lifecycle.
LIVE_ONLY = {
    *('CAMERA_NOT_PUBLISHED', 'CAMERA_QOS', 'CAMERA_UNHEARD', 'CAMERA_AWAITED'),
    *('NO_CLOCK', 'CLOCK_FAR_OFF', 'OVERLOADED', 'STALLED', 'NOT_WANTED', 'DISABLED', 'INACTIVE'),
    'RIG_UNKNOWN',  # a note of the summary, `unplaced`
}
LIVE = re.compile(
    r'\b(this node|drivers?|remap\w*|publish(es|ed|er|ers)?|subscri\w+|QoS|transport|calibrate|'
    r'trigger|ros2|/clock|use_sim_time|wait(s|ed)?)\b(?!_)|\bsend\b(?!\.)',
    re.IGNORECASE,
)


def raised_of_recordings() -> set[str]:
    found: set[str] = set()
    for path in PACKAGE.rglob('*.py'):
        if not path.relative_to(PACKAGE).as_posix().startswith(OF_NODES):
            found |= set(re.findall(r'\bReason\.([A-Z_]+)\b', path.read_text(encoding='utf-8')))
    return found


@pytest.mark.parametrize('name', sorted(raised_of_recordings()))
def test_words_fit_a_recording(name: str) -> None:
    """No driver can be mended, nothing remapped, and nobody publishes."""
    text = recorded_text(Reason[name])
    assert not LIVE.search(text), LIVE.search(text)


def test_all_that_may_be_of_a_recording_is_raised_of_recordings() -> None:
    assert set(Reason.__members__) - raised_of_recordings() == LIVE_ONLY


@pytest.mark.parametrize('reason', list(Reason), ids=lambda reason: reason.name)
def test_they_name_what_was_measured(reason: Reason) -> None:
    """Whoever fills in the text of the table fills in this one."""

    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    assert names(recorded_text(reason)) <= names(reason.value.text)
