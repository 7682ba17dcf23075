"""Ways to do the same, timed in turn, so that a busy machine slows all of them."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
  """The least, the median and the largest of some rounds."""

  low: float
  median: float
  high: float

  @classmethod
  def of(cls, values: Sequence[float]) -> "Spread":
    """Of at least one value."""
    return cls(min(values), statistics.median(values), max(values))

  def scaled(self, factor: float) -> "Spread":
    """Of the values times a positive factor."""
    return Spread(*(factor * value for value in self))


class Timing(NamedTuple):
  """How long ways took.

  Attributes:
    first: by way, seconds of the first turn, in which it compiles.
    seconds: by way, those of each further turn.
  """

  first: dict[str, float]
  seconds: dict[str, list[float]]

  def times_faster(self, way: str, than: str) -> Spread:
    """How many times faster one way is than another, of the turns of each round."""
    pairs = zip(self.seconds[than], self.seconds[way], strict=True)
    return Spread.of([theirs / ours for theirs, ours in pairs])

  def together(self, groups: dict[str, list[str]]) -> "Timing":
    """The timing of groups of ways, each as the sum of its ways, by the groups' names."""
    return Timing(
      {name: sum(self.first[way] for way in ways) for name, ways in groups.items()},
      {
        name: [sum(turns) for turns in zip(*(self.seconds[way] for way in ways), strict=True)]
        for name, ways in groups.items()
      },
    )

  def best(self, ways: Sequence[str]) -> str:
    """The way of the smallest median."""
    return min(ways, key=lambda way: statistics.median(self.seconds[way]))

  def milliseconds(self) -> dict[str, float]:
    """The median turn of each way."""
    return {way: 1000 * statistics.median(times) for way, times in self.seconds.items()}


def take_turns(ways: dict[str, Callable[[], None]], rounds: int, units: dict[str, int]) -> Timing:
  """Times ways in turn.

  Args:
    ways: by name, each returns when all of its work is done.
    rounds: turns of each, after a first one that is kept apart.
    units: by name, for how many units the work of a turn counts; seconds are for one.

  Returns:
    Their timing.
  """
  first, seconds = {}, {way: [] for way in ways}
  for turn in range(rounds + 1):
    for way, work in ways.items():
      started = time.perf_counter()
      work()
      taken = time.perf_counter() - started
      if turn == 0:
        first[way] = taken
      else:
        seconds[way].append(taken / units[way])
  return Timing(first, seconds)
