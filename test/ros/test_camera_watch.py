"""What is said of cameras and clocks, from facts given by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip('rclpy')
from da3_ros.options import from_flat
from da3_ros.reasons import Reason
from da3_ros.ros.apart_reasons import guess_of_clocks
from da3_ros.ros.node.camera_watch import CameraWatch
from da3_ros.ros.node.inputs import InputStatus, Sender
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.stream.meetings import Apart
from da3_ros.stream.sync_report import CameraStatus, SyncReport

pytestmark = pytest.mark.ros
MS = 1_000_000
NOW_NS = 1_800_000_000_000 * MS
CAMERAS = ('front', 'left', 'right')
WELL = CameraStatus('', NOW_NS, 0, 0, 0, True, True, 0, 0, 100 * MS)


class Post:
    """Two good cameras, and one that is changed."""

    def __init__(self, min_cameras: int = 1) -> None:
        self.lines: list[str] = []
        self.board = ReasonBoard(self)
        options = from_flat({'cameras': CAMERAS, 'min_cameras': min_cameras}).stream
        self.watch = CameraWatch(self.board, options)
        self.input = InputStatus('right', '/right/image_raw', 7, True, 0.1)
        self.status = replace(WELL, camera='right')
        self.apart: tuple[Apart, ...] = ()
        self.late: tuple[str, ...] = ()
        self.awaited_ns = 0

    def info(self, message: str) -> None:
        self.lines.append(message)

    warning = error = info

    def look(self) -> dict[Reason, str]:
        others = [replace(WELL, camera=c) for c in CAMERAS[:2]]
        sync = SyncReport(
            9, 0, (), (*others, self.status), self.late, 0, self.apart, self.awaited_ns
        )
        inputs = [InputStatus(c, f'/{c}/image_raw', 7, True, 0.1) for c in CAMERAS[:2]]
        self.watch.look([*inputs, self.input], sync)
        assert {a.owner for a in self.board.active()} <= {'right'}
        return {a.reason: a.text for a in self.board.active('right')}

    def end(self) -> Iterator[str]:
        """Let all be well again; return the lines that say so."""
        self.input = InputStatus('right', '/right/image_raw', 7, True, 0.1)
        self.status, self.apart, self.late = replace(WELL, camera='right'), (), ()
        self.awaited_ns = 0
        before = len(self.lines)
        assert self.look() == {}
        return iter(self.lines[before:])


def test_all_is_well() -> None:
    assert Post().look() == {}


RELIABLE, BEST_EFFORT = Sender('driver', False), Sender('driver', True)


@pytest.mark.parametrize(
    ('reason', 'images', 'refused', 'senders', 'wants_reliable', 'words'),
    [
        (Reason.CAMERA_NOT_PUBLISHED, 7, 0, (), False, 'nobody publishes it'),
        (Reason.CAMERA_QOS, 0, 0, (BEST_EFFORT,), True, 'driver publishes best effort'),
        (Reason.CAMERA_UNHEARD, 0, 0, (BEST_EFFORT,), False, 'though driver publishes it'),
        (Reason.CAMERA_UNHEARD, 0, 0, (RELIABLE,), True, 'though driver publishes it'),
        (Reason.CAMERA_STOPPED, 7, 0, (RELIABLE,), False, '7 came before'),
        (Reason.CAMERA_STOPPED, 0, 5, (RELIABLE,), False, '5 came before'),
    ],
)
def test_a_silent_camera(
    reason: Reason,
    images: int,
    refused: int,
    senders: tuple[Sender, ...],
    wants_reliable: bool,
    words: str,
) -> None:
    post = Post()
    post.input = replace(
        post.input,
        images=images,
        refused=refused,
        silent_s=2.1,
        senders=senders,
        wants_reliable=wants_reliable,
    )
    found = post.look()
    assert set(found) == {reason}
    assert found[reason].startswith('camera right: no images on /right/image_raw for 2.1 s')
    assert words in found[reason]
    assert [line.partition(': ')[0][:4] for line in post.end()] == ['over']


@pytest.mark.parametrize(('silent_s', 'is_silent'), [(2.0, False), (2.1, True)])
def test_silence_begins_after_two_seconds(silent_s: float, is_silent: bool) -> None:
    post = Post()
    post.input = replace(post.input, silent_s=silent_s)
    assert bool(post.look()) == is_silent


def test_a_camera_that_sends_seldom_is_not_silent_between_its_images() -> None:
    post = Post()
    post.status = replace(post.status, period_ns=3_000 * MS)
    post.input = replace(post.input, silent_s=8.0)
    assert post.look() == {}
    post.input = replace(post.input, silent_s=9.1)
    assert set(post.look()) == {Reason.CAMERA_NOT_PUBLISHED}


@pytest.mark.parametrize(
    ('min_cameras', 'others_send', 'goes_on'),
    [(1, True, True), (2, True, True), (3, True, False), (0, True, False), (1, False, False)],
)
def test_sets_go_out_without_it_is_said_only_when_they_do(
    min_cameras: int, others_send: bool, goes_on: bool
) -> None:
    post = Post(min_cameras)
    post.input = replace(post.input, silent_s=9.0, senders=(RELIABLE,))
    if not others_send:
        post.apart = tuple(Apart(c, 'right', 0, 0, 0) for c in CAMERAS[:2])
        post.watch.look([post.input], _sync_of(post))
        (found,) = (a.text for a in post.board.active('right'))
    else:
        found = post.look()[Reason.CAMERA_STOPPED]
    assert ('. Sets go out without it' in found) == goes_on
    assert ('No set goes out' in found) == (not goes_on)


def _sync_of(post: Post) -> SyncReport:
    others = [replace(WELL, camera=c) for c in CAMERAS[:2]]
    return SyncReport(9, 0, (), (*others, post.status), (), 0, post.apart, 0)


def test_cameras_out_of_phase_are_measured() -> None:
    post = Post()
    post.apart = (Apart('right', 'front', 1 * MS, 50 * MS, 51_200_000),)
    (text,) = post.look().values()
    assert 'always 50.0 ms from those of camera front' in text
    assert 'sync_tolerance_s allows 20.0 ms' in text
    assert 'set sync_tolerance_s to 0.052 or more' in text
    assert len(list(post.end())) == 1


@pytest.mark.parametrize(
    ('clock_s', 'stamp_s', 'words'),
    [
        (0.4, 1.8e9, 'differ. Stamp both by one clock, or set sync_wait_s to 0.5 where the'),
        (-0.4, 1.8e9, 'where the images of right are only late.'),
        (7200.0, 1.8e9, '(a time zone: 2 hours, as it seems)'),
        (19800.5, 1.8e9, '(a time zone: 5.5 hours, as it seems)'),
        (-1.8e9, 5e4, '(its stamps count since boot, as it seems)'),
        (37.0, 1.8e9, 'one is TAI'),
    ],
)
def test_clocks_that_differ_are_measured(clock_s: float, stamp_s: float, words: str) -> None:
    post = Post()
    post.status = replace(post.status, newest_stamp_ns=round(stamp_s * 1e9))
    post.apart = (Apart('right', 'front', round(clock_s * 1e9), 0, 0),)
    found = post.look()
    assert set(found) == {Reason.CLOCKS_APART}
    assert f'{clock_s:.3f} s from those of camera front' in found[Reason.CLOCKS_APART]
    assert 'sync_tolerance_s + sync_wait_s, 0.12 s' in found[Reason.CLOCKS_APART]
    assert words in found[Reason.CLOCKS_APART]


def test_nothing_is_guessed_where_nothing_fits() -> None:
    assert guess_of_clocks(5000.0, NOW_NS, NOW_NS) == ''
    assert guess_of_clocks(0.4, NOW_NS, NOW_NS) == ''
    assert guess_of_clocks(0.4, None, NOW_NS) == ''
    # Both count since boot: that is no difference.
    assert guess_of_clocks(5000.0, 10**12, 6 * 10**12) == ''


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'delay_ns': 300 * MS}, 'come 0.300 s after those of the others (sync_wait_s allows 0.1'),
        (
            {'distance_ns': 45 * MS},
            'usually 45.0 ms from those of the others (sync_tolerance_s al',
        ),
        ({'is_sending': False}, 'their stamps stand still'),
    ],
)
def test_a_camera_that_misses_sets_is_late_for_a_reason(
    changes: dict[str, int], words: str
) -> None:
    post = Post()
    post.late = ('right',)
    post.status = replace(post.status, missed_sets=4, sets_alone=4, **changes)  # type: ignore[arg-type]
    found = post.look()
    assert set(found) == {Reason.CAMERA_LATE}
    assert '4 sets in a row went out without it' in found[Reason.CAMERA_LATE]
    assert words in found[Reason.CAMERA_LATE]
    assert len(list(post.end())) == 1


def test_sets_without_a_camera_are_not_put_down_to_what_is_within_its_limit() -> None:
    post = Post()
    # A few images are lost anywhere.
    post.status = replace(post.status, missed_sets=4, sets_alone=4, distance_ns=5 * MS)
    assert post.look() == {}
    post.status = replace(post.status, missed_sets=12, sets_alone=12)
    text = post.look()[Reason.CAMERA_LATE]
    assert 'are not the cause: images of it are lost' in text
    # Nothing to compare with: what its clock is shows a little later.
    post.status = replace(post.status, distance_ns=None)
    assert post.look() == {}


def test_a_camera_whose_images_are_refused_is_not_late() -> None:
    post = Post()
    post.status = replace(post.status, missed_sets=12, sets_alone=12, distance_ns=45 * MS)
    assert set(post.look()) == {Reason.CAMERA_LATE}
    post.input = replace(post.input, refused=20, unused_s=2.0)
    assert post.look() == {}


def test_cameras_that_take_turns_are_late_for_each_other() -> None:
    post = Post()
    post.status = replace(post.status, sets_alone=7, distance_ns=45 * MS)
    assert '7 sets in a row' in post.look()[Reason.CAMERA_LATE]
    # One that sends seldom is in every so many sets only.
    post.status = replace(post.status, period_ns=500 * MS)
    assert post.look() == {}


def test_a_camera_that_may_have_stopped_is_not_late() -> None:
    post = Post()
    post.status = replace(post.status, missed_sets=9, sets_alone=9)
    post.input = replace(post.input, silent_s=0.5)
    assert post.look() == {}


def test_a_camera_that_never_came_is_awaited() -> None:
    post = Post()
    post.status = replace(post.status, has_come=False, is_sending=False)
    post.awaited_ns = 1500 * MS
    (text,) = post.look().values()
    assert 'sets wait for it 1.5 s more at most (limit 2 s)' in text
    assert 'min_cameras is 1' in text
    post.awaited_ns = 0
    assert post.look() == {}
