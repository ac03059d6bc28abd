"""Stages of a network recorded as graphs, and replayed while nothing changes.

A small network waits for its own launches: a forward pass is a thousand kernels that take less
time than it takes to start them. A graph starts them all at once. It writes into memory of its
own, and does at each replay what was done when it was recorded; so

- what goes in is copied into the graph's memory, and what comes out is copied from there;
- there is a graph for every stage, shape and format of the input, and for whatever else the
  caller's key tells apart; the least recently used ones go when there are too many;
- it is recorded only when the same was asked for before: windows that still grow are not worth it;
- its first answers are compared with those of the plain stage, which are the ones that are handed
  out. Only when all agree it is believed;
- when it cannot be recorded, when it answers otherwise, or when memory runs out, the plain stage
  is used, and a note and the log say so. The plain stage is always right;
- in another state (weights, formats, kernels) all graphs are void.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
import logging
import threading
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from da3_ros.inference.cuda.device import Device
from da3_ros.inference.cuda.nested import largest_difference, with_tensors
from da3_ros.inference.cuda.readings import Readings
from da3_ros.inference.out_of_memory import is_out_of_memory
from da3_ros.notes import Note

Result = TypeVar('Result')

MOST_GRAPHS = 16
"""Graphs at once: a stream has two to four (new views, window, wanted views)."""

CALLS_BEFORE = 2
"""Plain calls before a graph is recorded."""

CALLS_AFTER_EVICTION = 32
"""The same for what was recorded once and had to go: sizes that come by turns are not recorded
again and again."""

TRIALS = 2
"""Answers that are compared; the second one is to another input than the first."""

MOST_FAILURES = 3
"""After so many stages that could not be recorded none is tried any more."""

_MOST_KEYS = 256

_TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
_TF32_TOLERANCE = 4e-3

_logger = logging.getLogger(__name__)


def tolerance(dtype: torch.dtype, *, tf32: bool) -> float:
    """Return how far a graph's answer may be from the plain one, relative to its peak.

    Both run the same kernels; libraries may still choose others by the memory that they have.
    """
    within = _TOLERANCES[dtype]
    return max(within, _TF32_TOLERANCE) if tf32 else within


@dataclass
class Counts:
    """What was done so far."""

    plain: int = 0
    """Calls of stages."""
    recorded: int = 0
    """Graphs."""
    replayed: int = 0
    """Answers by graphs, those on trial included."""
    refused: int = 0
    """Shapes for which graphs were given up."""


class _Graph:
    """One stage for one shape of its input."""

    def __init__(
        self,
        device: Device,
        stage: Callable[..., Any],
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
    ) -> None:
        """Record; see `Device.record` for what it raises."""
        self.trials_left = TRIALS
        self._inputs = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in inputs]
        self._fill(inputs)

        def run() -> Any:
            # Weights may go at any time, see `use`.
            with Readings([*self._inputs, *weights]) as readings:
                result = stage(*self._inputs)
            self._kept = readings.kept
            return result

        self._replay, self._result = device.record(run)

    def answer(self, inputs: Sequence[Tensor]) -> Any:
        """Return the result for other inputs, in memory of its own."""
        self._fill(inputs)
        self._replay()
        # In the stream's order, so before anything can write there again.
        return with_tensors(self._result, torch.clone)

    def _fill(self, inputs: Sequence[Tensor]) -> None:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)


class StageGraphs:
    """Runs stages of one network, by graphs where that is possible and proven.

    May be used by several threads; they enqueue one after another.
    """

    def __init__(self, network: nn.Module, device: Device, *, most: int = MOST_GRAPHS) -> None:
        """Make graphs of a network's stages, none so far.

        Args:
            network: Whose stages are run.
            device: Where.
            most: Graphs at once.
        """
        self.counts = Counts()
        self._device = device
        self._most = most
        self._network = network
        self._state: Hashable = None
        self._lock = threading.RLock()
        self._graphs: OrderedDict[Hashable, _Graph] = OrderedDict()
        self._calls_left: OrderedDict[Hashable, int] = OrderedDict()
        self._refused: OrderedDict[Hashable, None] = OrderedDict()
        self._failures = 0
        self._is_off = False
        self._notes: list[Note] = []

    def use(self, state: Hashable) -> None:
        """Say what stages depend on besides keys and inputs; what is of another state is dropped.

        To be said whenever it may have changed: a graph reads weights where they were, and does
        not notice that they are gone.
        """
        with self._lock:
            if state != self._state:
                self._start_anew()
                self._state = state

    @torch.inference_mode()
    def run(
        self,
        key: Hashable,
        stage: Callable[..., Result],
        *inputs: Tensor,
        within: float = _TOLERANCES[torch.float32],
    ) -> Result:
        """Return `stage(*inputs)`.

        Args:
            key: Tells apart whatever the stage depends on beside shapes and formats of its
                inputs and the state: options, sizes.
            stage: Computes tensors (see `nested`) of tensors on the device, without looking at
                values, and of nothing else that changes while the state is the same.
            inputs: What it is computed from, at least one.
            within: How far a graph's answer may be from the stage's, see `tolerance`.
        """
        if not self._device.takes(inputs[0]):
            return self._plain(stage, inputs)
        with self._lock:
            if self._is_off:
                return self._plain(stage, inputs)
            full = (key, tuple((x.shape, x.dtype, x.device) for x in inputs))
            graph = self._graphs.get(full)
            if graph is not None:
                self._graphs.move_to_end(full)
                return self._replayed(full, graph, stage, inputs, within)
            if full in self._refused or not self._is_due(full):
                return self._plain(stage, inputs)
            return self._recorded(full, stage, inputs, within)

    def forget(self) -> None:
        """Drop all graphs; what they hold can be given back."""
        with self._lock:
            self._graphs.clear()
            self._calls_left.clear()
            self._device.renew()

    def take_notes(self) -> tuple[Note, ...]:
        """Return what was done otherwise than meant since this was asked last."""
        with self._lock:
            notes, self._notes = tuple(self._notes), []
            return notes

    def _start_anew(self) -> None:
        self.forget()
        self._refused.clear()
        self._failures = 0
        self._is_off = False

    def _is_due(self, full: Hashable) -> bool:
        left = self._calls_left.pop(full, CALLS_BEFORE)
        if left > 0:
            _keep(self._calls_left, full, left - 1)
        return left <= 0

    def _plain(self, stage: Callable[..., Result], inputs: Sequence[Tensor]) -> Result:
        self.counts.plain += 1
        try:
            return stage(*inputs)
        except (RuntimeError, MemoryError) as error:
            if not (self._graphs and is_out_of_memory(error)):
                raise
        self._give_up('memory ran out, and graphs hold memory of their own')
        return stage(*inputs)

    def _recorded(
        self, full: Hashable, stage: Callable[..., Result], inputs: Sequence[Tensor], within: float
    ) -> Result:
        expected = self._plain(stage, inputs)
        if self._is_off:
            return expected
        if not self._graphs:
            self._device.renew()
        try:
            graph = _Graph(self._device, stage, inputs, list(self._network.parameters()))
            answer = graph.answer(inputs)
        except Exception as error:
            # Whatever a driver or a library says: the plain answer is there.
            self._device.renew()
            reason = ' '.join([type(error).__name__, *str(error).strip().splitlines()[:1]])
            self._refuse(full, f'it could not be recorded ({reason})')
            self._failures += 1
            if self._failures >= MOST_FAILURES:
                self._give_up(f'{self._failures} stages could not be recorded')
            return expected
        self.counts.recorded += 1
        self._graphs[full] = graph
        self._judge(full, graph, expected, answer, within)
        while len(self._graphs) > self._most:
            evicted, _ = self._graphs.popitem(last=False)
            _keep(self._calls_left, evicted, CALLS_AFTER_EVICTION)
        return expected

    def _replayed(
        self,
        full: Hashable,
        graph: _Graph,
        stage: Callable[..., Result],
        inputs: Sequence[Tensor],
        within: float,
    ) -> Result:
        try:
            answer: Result = graph.answer(inputs)
        except (RuntimeError, MemoryError) as error:
            self._refuse(full, f'it could not be replayed ({type(error).__name__})')
            return self._plain(stage, inputs)
        self.counts.replayed += 1
        if not graph.trials_left:
            return answer
        expected = self._plain(stage, inputs)
        self._judge(full, graph, expected, answer, within)
        return expected

    def _judge(
        self, full: Hashable, graph: _Graph, expected: object, answer: object, within: float
    ) -> None:
        graph.trials_left -= 1
        try:
            apart = largest_difference(expected, answer)
        except (RuntimeError, MemoryError) as error:
            self._refuse(full, f'its answer could not be compared ({type(error).__name__})')
            return
        if not apart <= within:
            reason = f'its answer differs by {apart:.3g} of the peak, at most {within:g}'
            self._refuse(full, reason, apart)

    def _refuse(self, full: Hashable, reason: str, apart: float | None = None) -> None:
        self.counts.refused += 1
        self._graphs.pop(full, None)
        _keep(self._refused, full, None)
        self._say(f'no graph for one stage of the network: {reason}', apart)

    def _give_up(self, reason: str) -> None:
        self._is_off = True
        self.forget()
        self._device.give_back()
        self._say(f'no graphs for this network any more: {reason}')

    def _say(self, text: str, apart: float | None = None) -> None:
        text += '; it runs without, slower and with the same result'
        numbers = {} if apart is None else {'difference': apart}
        self._notes.append(Note('graphs_off', text, numbers))
        _logger.warning('%s', text)


def _keep(memory: OrderedDict[Hashable, Any], key: Hashable, value: object) -> None:
    """Put an entry last; the first ones go when there are too many."""
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > _MOST_KEYS:
        memory.popitem(last=False)
