"""Which estimate belongs to which truth, and both at the pixels of the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
import re
from typing import Literal, get_args

from da3_ros.cli.eval_depth_sources import DepthMap, DepthSource, Load
from da3_ros.errors import GeometryError, SourceError
from da3_ros.foreign import plain_line
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.resample import DepthResampler, PixelMap
from da3_ros.metrics.association import are_among, associate, limit_ns
from da3_ros.metrics.depth_set import DepthPair
from da3_ros.types import FloatImage

Rule = Literal['stamp', 'name', 'number', 'place']
"""By stamps; by equal names; by the last number in names; by their place among all images."""
RULES: tuple[Rule, ...] = get_args(Rule)

_NUMBER = re.compile(r'\d+')
# A resize to whole patches changes the aspect ratio of small images by that much.
_ASPECT = 0.12


@dataclass(frozen=True, slots=True)
class Pairing:
    """Truth and estimate of the same images."""

    pairs: tuple[tuple[DepthMap, DepthMap], ...]
    """In the order of the truth; at least one."""
    by: Rule
    truth_alone: tuple[str, ...]
    """Names of the true images without a partner."""
    estimate_alone: tuple[str, ...]


def pair_maps(
    truth: DepthSource, estimate: DepthSource, rule: Rule | None, max_difference_s: float
) -> Pairing:
    """Pair two sources.

    Args:
        truth: the true images.
        estimate: the estimated ones.
        rule: how; None takes the first that pairs: stamps, names, numbers in names if all of one
            side have a partner, places if both sides have as many images; neither stamps that
            stand for numbers with those of a clock, nor names that count the images of a run with
            those of more or fewer images.
        max_difference_s: of stamps in a pair.

    Raises:
        SourceError: none pairs by the rule, or by any; says what both sides are called.
    """
    if len(truth.maps) == len(estimate.maps) == 1 and rule is None:
        return Pairing(((truth.maps[0], estimate.maps[0]),), 'place', (), ())
    for tried in RULES if rule is None else (rule,):
        found = _BY[tried](truth, estimate, max_difference_s)
        if rule is None and _is_gamble(tried, truth, estimate):
            continue
        shorter = min(len(truth.maps), len(estimate.maps))
        if not found or (rule is None and tried == 'number' and len(found) < shorter):
            continue
        found.sort()
        first, second = (set(side) for side in zip(*found, strict=True))
        return Pairing(
            tuple((truth.maps[a], estimate.maps[b]) for a, b in found),
            tried,
            tuple(one.name for place, one in enumerate(truth.maps) if place not in first),
            tuple(one.name for place, one in enumerate(estimate.maps) if place not in second),
        )
    how = 'any rule' if rule is None else f'--pair {rule}'
    raise SourceError(
        f'no image pairs by {how}: {_called(truth)}; {_called(estimate)}. Stamps pair within '
        '--max-difference, places only where both have as many images, and names that count the '
        'images of a run, which may be others, only by --pair number'
    )


def _is_gamble(rule: Rule, truth: DepthSource, estimate: DepthSource) -> bool:
    """Return whether equal keys of a rule need not mean equal images.

    Names of one side may count what a run was given: number 7 of every second image is not the
    image 7. Stamps of one side may stand for numbers, while the other has a clock.
    """
    if rule in ('name', 'number'):
        return (truth.is_counted or estimate.is_counted) and truth.total != estimate.total
    if rule == 'stamp':
        for one, other in ((truth, estimate), (estimate, truth)):
            stamps = [each.stamp_ns for each in other.maps if each.stamp_ns is not None]
            if one.numbered_ns and not are_among(stamps, one.numbered_ns):
                return True
    return False


def _called(source: DepthSource) -> str:
    names = ', '.join(plain_line(one.name, 60) for one in source.maps[:2])
    return (
        f'{plain_line(source.source)} has {len(source.maps)} depth images of {source.total} '
        f'({names}, ...)'
    )


def _by_stamp(truth: DepthSource, estimate: DepthSource, limit_s: float) -> list[tuple[int, int]]:
    stamps = [[one.stamp_ns for one in source.maps] for source in (truth, estimate)]
    first, second = ([ns for ns in side if ns is not None] for side in stamps)
    if len(first) < len(truth.maps) or len(second) < len(estimate.maps):
        return []
    try:
        pairs = associate(first, second, limit_ns(limit_s))
    except GeometryError:
        return []
    return [*zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]


def _by_name(truth: DepthSource, estimate: DepthSource, _: float) -> list[tuple[int, int]]:
    return _equal([one.name for one in truth.maps], [one.name for one in estimate.maps])


def _by_number(truth: DepthSource, estimate: DepthSource, _: float) -> list[tuple[int, int]]:
    return _equal([_number(one) for one in truth.maps], [_number(one) for one in estimate.maps])


def _by_place(truth: DepthSource, estimate: DepthSource, _: float) -> list[tuple[int, int]]:
    if truth.total != estimate.total:
        return []
    return _equal([one.place for one in truth.maps], [one.place for one in estimate.maps])


_BY: dict[Rule, Callable[[DepthSource, DepthSource, float], list[tuple[int, int]]]] = {
    'stamp': _by_stamp,
    'name': _by_name,
    'number': _by_number,
    'place': _by_place,
}


def _number(one: DepthMap) -> int | None:
    numbers = _NUMBER.findall(one.name)
    return int(numbers[-1]) if numbers else None


def _equal(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return the places of equal keys; a key that comes twice on a side pairs with nothing."""
    places: dict[Hashable, int] = {}
    for place, key in enumerate(second):
        places[key] = -1 if key in places else place
    counts = Counter(first)
    return [
        (place, places[key])
        for place, key in enumerate(first)
        if key is not None and counts[key] == 1 and places.get(key, -1) >= 0
    ]


@dataclass(slots=True)
class PairReader:
    """Reads pairs one by one, as often as asked."""

    pairing: Pairing
    sigma: tuple[Load, ...] | None = None
    """Stated spreads of the estimate of every pair; None without."""
    confidence: tuple[Load, ...] | None = None
    """Likewise its confidence."""
    resized: tuple[ImageSize, ImageSize] | None = None
    """Sizes of an estimate and of its truth that differ; None while none does."""

    def __call__(self) -> Iterator[DepthPair]:
        """Yield the pairs, at the pixels of the truth.

        Raises:
            SourceError: an image cannot be read, or shows another part than its truth.
        """
        for place, (true_one, estimated) in enumerate(self.pairing.pairs):
            truth, estimate = true_one.load(), estimated.load()
            beside = [None if of is None else of[place]() for of in (self.sigma, self.confidence)]
            for image in beside:
                if image is not None and image.shape != estimate.shape:
                    raise SourceError(
                        f'{estimated.name}: expected spread and confidence of the size of depth '
                        f'{estimate.shape}, got {image.shape}'
                    )
            if truth.shape != estimate.shape:
                estimate, beside = self._at_truth(true_one.name, truth, estimate, beside)
            yield DepthPair(true_one.name, truth, estimate, beside[0], beside[1])

    def _at_truth(
        self,
        name: str,
        truth: FloatImage,
        estimate: FloatImage,
        beside: list[FloatImage | None],
    ) -> tuple[FloatImage, list[FloatImage | None]]:
        """Return an estimate and what belongs to it at the pixels of the truth."""
        target, source = ImageSize(*truth.shape), ImageSize(*estimate.shape)
        aspect = source.width * target.height / (source.height * target.width)
        if abs(aspect - 1) > _ASPECT:
            raise SourceError(
                f'{name}: expected the whole image in both, but the truth is '
                f'{target.width}x{target.height} and the estimate {source.width}x{source.height}'
            )
        self.resized = self.resized or (source, target)
        resampler = DepthResampler(estimate, PixelMap.whole(target, source), target)
        return resampler.depth(), [
            None if image is None else resampler.along(image) for image in beside
        ]


def loads_beside(
    pairing: Pairing, key: str, source: DepthSource | None
) -> tuple[Load, ...] | None:
    """Return what reads what belongs to the estimates, in the order of the pairs.

    Args:
        pairing: of the depth.
        key: under which it lies beside the depth, where there is no source of its own.
        source: images of the same names or places as the estimates; None for none.

    Raises:
        SourceError: the source lacks an image, or some of the estimates have the key and some not.
    """
    estimates = [estimate for _, estimate in pairing.pairs]
    if source is None:
        found = [one.beside[key] for one in estimates if key in one.beside]
        if found and len(found) < len(estimates):
            raise SourceError(f'{key}: only {len(found)} of {len(estimates)} estimates have it')
        return tuple(found) or None
    own = DepthSource('', tuple(estimates), source.total)
    pairs = pair_maps(own, source, None, 0.0)
    if pairs.truth_alone:
        raise SourceError(
            f'{plain_line(source.source)}: expected an image for every estimate, there is none '
            f'for {plain_line(pairs.truth_alone[0], 60)}'
        )
    return tuple(partner.load for _, partner in pairs.pairs)
