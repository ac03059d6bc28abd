"""What is kept of views between windows: theirs, and no more than asked."""

from collections.abc import Callable, Sequence

import pytest

from da3_ros.inference.window_cache import WindowCache


class Computer:
    """Computes views of a window, and knows which it had to."""

    def __init__(self, pixels: Sequence[str]) -> None:
        self.pixels = pixels
        self.places: list[int] = []

    def __call__(self, places: Sequence[int]) -> list[str]:
        self.places += places
        return [self.pixels[place].upper() for place in places]


def run(
    cache: WindowCache[str], pixels: str, keys: str | None, state: object = 0
) -> tuple[str, list[int]]:
    computer = Computer(pixels)
    return ''.join(cache.results(len(pixels), keys, state, computer)), computer.places


def test_a_view_is_computed_once_while_windows_have_it() -> None:
    cache = WindowCache[str](len)
    assert run(cache, 'abc', '123') == ('ABC', [0, 1, 2])
    assert run(cache, 'bcd', '234') == ('BCD', [2])
    assert run(cache, 'dbc', '423') == ('DBC', [])
    assert run(cache, 'a', '1') == ('A', [0])
    assert run(cache, 'b', '2') == ('B', [0]), 'dropped with the window that did not have it'


def test_a_view_that_comes_twice_is_computed_once() -> None:
    cache = WindowCache[str](len)
    assert run(cache, 'aba', '121') == ('ABA', [0, 1])


def test_without_keys_nothing_is_taken_and_nothing_kept() -> None:
    cache = WindowCache[str](len)
    run(cache, 'ab', '12')
    assert run(cache, 'xy', None) == ('XY', [0, 1])
    assert len(cache) == 0
    # What promises nothing may have ended the promise of the keys before.
    assert run(cache, 'cd', '12') == ('CD', [0, 1])


@pytest.mark.parametrize('keys', ['12', '1234'])
def test_every_view_has_one_key(keys: str) -> None:
    with pytest.raises(ValueError, match=f'got {len(keys)} for 3 views'):
        run(WindowCache[str](len), 'abc', keys)


def test_another_state_makes_all_worthless() -> None:
    cache = WindowCache[str](len)
    run(cache, 'ab', '12', state='before')
    assert run(cache, 'xy', '12', state='after') == ('XY', [0, 1])
    assert run(cache, 'ab', '12', state='before') == ('AB', [0, 1])


def test_the_newest_views_stay_where_not_all_fit() -> None:
    cache = WindowCache[str](len, limit_bytes=2)
    run(cache, 'abc', '123')
    assert (len(cache), cache.nbytes) == (2, 2)
    assert run(cache, 'abc', '123') == ('ABC', [0])
    nothing = WindowCache[str](len, limit_bytes=0)
    run(nothing, 'a', '1')
    assert len(nothing) == 0


def test_forgotten_is_forgotten() -> None:
    cache = WindowCache[str](len)
    run(cache, 'ab', '12')
    cache.forget()
    assert (len(cache), run(cache, 'xy', '12')) == (0, ('XY', [0, 1]))


def test_after_a_failure_what_was_known_still_is() -> None:
    cache = WindowCache[str](len)
    run(cache, 'ab', '12')

    def failing(places: Sequence[int]) -> list[str]:
        raise MemoryError(str(places))

    with pytest.raises(MemoryError, match='2'):
        cache.results(3, '123', 0, failing)
    assert run(cache, 'abc', '123') == ('ABC', [2])


class Interrupting:
    """A state during whose comparison another thread has its turn."""

    def __init__(self, state: str, other: Callable[[], object]) -> None:
        self.state = state
        self.turns = [other]

    def __eq__(self, other: object) -> bool:
        if self.turns:
            self.turns.pop()()
        return self.state == other

    def __hash__(self) -> int:
        return hash(self.state)


def test_threads_never_get_one_another_s_views() -> None:
    cache = WindowCache[str](len)

    def other() -> None:
        assert run(cache, 'xy', '12', state='after') == ('XY', [0, 1])

    run(cache, 'ab', '12', state='before')
    assert run(cache, 'ab', '12', Interrupting('before', other)) == ('AB', [])
    run(cache, 'ab', '12', state='before')

    def computing(places: Sequence[int]) -> list[str]:
        other()
        return ['C' for _ in places]

    assert cache.results(3, '123', 'before', computing) == ['A', 'B', 'C']
    assert run(cache, 'xy', '12', state='after') == ('XY', [0, 1])
