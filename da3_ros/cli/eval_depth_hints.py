"""What makes figures of depth say something else than they seem to."""

from __future__ import annotations

from collections.abc import Iterator

from da3_ros.cli.eval_depth_pairs import Pairing, PairReader
from da3_ros.foreign import plain_line
from da3_ros.metrics.depth_set import DepthSetFigures

# Nearly all pixels are right with one scale, hardly any without.
_MOST, _FEW = 0.8, 0.1
# Another unit in any case: no network is that far off.
_ABSURD = 50.0
_NEARLY_ALL = 0.95


def hints(pairing: Pairing, reader: PairReader, figures: DepthSetFigures) -> Iterator[str]:
    """Yield what a reader of the figures has to know."""
    yield from _of_pairs(pairing, figures)
    if reader.resized:
        source, target = reader.resized
        yield (
            f'estimates of {source.width}x{source.height} were brought to the '
            f'{target.width}x{target.height} pixels of the truth, nothing mixed across edges'
        )
    yield from _of_unit(figures)
    yield from _of_pixels(reader, figures)


def _of_pairs(pairing: Pairing, figures: DepthSetFigures) -> Iterator[str]:
    alone = (('true', pairing.truth_alone), ('estimated', pairing.estimate_alone))
    for what, names in alone:
        if names:
            has = 'image has' if len(names) == 1 else 'images have'
            yield f'{len(names)} {what} {has} no partner, the first is {plain_line(names[0], 60)}'
    if pairing.by == 'number' and any(names for _, names in alone):
        first, second = (plain_line(one.name, 60) for one in pairing.pairs[-1])
        yield (
            f'paired by numbers in names, as {first} with {second}: true only if both count the '
            'same images'
        )
    empty = [image.name for image in figures.images if not image.figures]
    if empty:
        pairs = '1 pair knows' if len(empty) == 1 else f'{len(empty)} pairs know'
        yield f'{pairs} no pixel in common, the first is {plain_line(empty[0], 60)}'


def _of_unit(figures: DepthSetFigures) -> Iterator[str]:
    scale = figures.scale
    as_is, scaled = figures.pooled['as_is'].delta1, figures.pooled['scale_all'].delta1
    if not 1 / _ABSURD < scale < _ABSURD or (as_is < _FEW and scaled > _MOST):
        yield (
            f'the truth is {scale:.4g} times the estimate: another unit? --depth-unit and '
            '--estimate-unit say what whole numbers are in, others have to be metres'
        )


def _of_pixels(reader: PairReader, figures: DepthSetFigures) -> Iterator[str]:
    compared = [
        (one.known_share, one.figures['as_is'].pixels) for one in figures.images if one.figures
    ]
    known = sum(pixels for _, pixels in compared)
    share = known / sum(pixels / of for of, pixels in compared)
    if share < _NEARLY_ALL:
        yield (
            f'estimates know {100 * share:.1f} % of the pixels that the truth knows; figures are '
            'of these alone'
        )
    calibration = figures.calibration.get('as_is')
    for what, stated, pixels in (
        ('spread above 0', reader.sigma, 0 if calibration is None else calibration.pixels),
        ('confidence of 0 or more', reader.confidence, sum(b.pixels for b in figures.confidence)),
    ):
        if stated is not None and pixels < known:
            yield f'{known - pixels} of {known} pixels have no {what}; they are left out there'
