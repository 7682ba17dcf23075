"""Timing of several ways to do the same work, in turn: a busy machine then slows all of them."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class MedianRange(NamedTuple):
  """Median of the rounds, between their least and their largest value."""

  low: float
  median: float
  high: float

  @classmethod
  def of(cls, values: Sequence[float]) -> "MedianRange":
    """Summarizes one value or more."""
    return cls(min(values), statistics.median(values), max(values))

  def scaled(self, factor: float) -> "MedianRange":
    """Multiplies all three by a positive factor."""
    return MedianRange(*(factor * value for value in self))


class Measurement(NamedTuple):
  """Result of one row of the benchmark."""

  value: MedianRange  # The row's figure.
  unit: str  # Its unit, as printed behind it.
  details: dict  # The figures that it was computed from, by name.


class Way(NamedTuple):
  """One way to do the work that a row times."""

  run: Callable[[], None]  # Does one turn's work and returns when it is finished.
  units: int  # Units that one turn does, such as training steps; seconds are reported per unit.


class Runner(NamedTuple):
  """One way to train, whose samples can be drawn."""

  train: Callable[[int], None]  # Trains so many steps further; returns when they are done.
  sample: Callable[[int], np.ndarray]  # Draws n images in [-1, 1], [n, height, width, channels].


class Timing(NamedTuple):
  """Wall times by way."""

  first: dict[str, float]  # Seconds of the whole first turn, in which PyTorch warms up.
  seconds: dict[str, list[float]]  # Seconds per unit in each later turn.

  def times_faster(self, way: str, than: str) -> MedianRange:
    """Speed of one way over that of another, from the two turns of each round."""
    pairs = zip(self.seconds[than], self.seconds[way], strict=True)
    return MedianRange.of([theirs / ours for theirs, ours in pairs])

  def fastest(self, ways: Sequence[str]) -> str:
    """Name of the way with the smallest median."""
    return min(ways, key=lambda way: statistics.median(self.seconds[way]))

  def milliseconds(self) -> dict[str, float]:
    """Median milliseconds per unit, by way."""
    return {way: 1000 * statistics.median(times) for way, times in self.seconds.items()}

  def details(self) -> dict[str, float]:
    """Milliseconds per unit and seconds of the first turn, named for `Measurement.details`."""
    steps = {f"{way}_ms": ms for way, ms in self.milliseconds().items()}
    return steps | {f"{way}_first_turn_s": seconds for way, seconds in self.first.items()}


def take_turns(ways: dict[str, Way], rounds: int) -> Timing:
  """Times each way once a round, after a first turn of each that is kept apart."""
  turns = {name: [] for name in ways}
  for _ in range(rounds + 1):
    for name, way in ways.items():
      started = time.perf_counter()
      way.run()
      turns[name].append(time.perf_counter() - started)
  first = {name: taken[0] for name, taken in turns.items()}
  seconds = {name: [each / ways[name].units for each in taken[1:]] for name, taken in turns.items()}
  return Timing(first, seconds)
