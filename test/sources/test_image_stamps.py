"""Stamps of images by their names, else by a rate."""

from pathlib import Path

import pytest

from da3_ros.sources.image_stamps import stamps_at_rate, stamps_of_names


@pytest.mark.parametrize(
    ('names', 'stamps_ns'),
    [
        # EuRoC, then TUM RGB-D, then micro- and milliseconds.
        (
            ('1403636579763555584', '1403636579813555456'),
            (1403636579763555584, 1403636579813555456),
        ),
        (('1305031102.175304', '1305031102.211214'), (1305031102175304000, 1305031102211214000)),
        (('1403636579763555', '1403636579813555'), (1403636579763555000, 1403636579813555000)),
        (('1403636579763', '1403636579813'), (1403636579763000000, 1403636579813000000)),
        (('0.033333', '0.066667'), (33333000, 66667000)),
        # No times: numbers of images, names, one that does not increase, zero.
        (('000000', '000001'), None),
        (('IMG_1403636579763555584',), None),
        (('1305031102.211214', '1305031102.175304'), None),
        (('1305031102.211214', 'a'), None),
        (('0.000000', '0.033333'), None),
    ],
)
def test_names_that_are_times(names: tuple[str, ...], stamps_ns: tuple[int, ...] | None) -> None:
    assert stamps_of_names([Path('a') / f'{name}.png' for name in names]) == stamps_ns


def test_a_rate_gives_whole_nanoseconds_that_do_not_drift() -> None:
    stamps = stamps_at_rate(3001, 30.0)
    assert stamps[3000] - stamps[0] == 100_000_000_000
    assert stamps[0] > 0
