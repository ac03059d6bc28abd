"""Faults are all counted and seldom logged."""

from da3_ros.ros.faults import FaultLog


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_every_kind_is_logged_once_per_period_with_what_was_left_out() -> None:
    lines: list[str] = []
    clock = Clock()
    faults = FaultLog(lines.append, period_s=5.0, clock=clock)
    for _ in range(4):
        faults.report('front', 'encoding', 'bad encoding')
    faults.report('left', 'encoding', 'left: bad encoding')
    assert lines == ['bad encoding', 'left: bad encoding']
    clock.now_s += 5.0
    faults.report('front', 'encoding', 'bad encoding')
    assert lines[-1] == 'bad encoding (3 more since the last report)'


def test_counts_are_by_owner_and_field() -> None:
    faults = FaultLog(lambda line: None)
    for field in ('data', 'data', 'step'):
        faults.report('front', field, 'x')
    assert faults.counts('front') == {'data': 2, 'step': 1}
    assert faults.counts('left') == {}
