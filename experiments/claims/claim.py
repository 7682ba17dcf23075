"""The parts of a claim: what a source says, how it is measured, and the criterion of its verdict.

A claim is one file in a source's folder here. Its criterion is fixed before it is run: `measure`
gives numbers and pictures and knows nothing of verdicts, `criterion` sees the numbers alone.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.figures.pictures import Picture

SCALES = ("quick", "full")
OUTCOMES = ("reproduced", "not reproduced", "not at this scale")


class Evidence(NamedTuple):
  """Results of a claim's runs: what the criterion sees, and what is for readers alone."""

  numbers: dict[str, Any]  # JSON values by name: all that the criterion sees.
  table: list[dict[str, Any]]  # Rows of the same columns; a cell is text or a number.
  pictures: list[Picture]  # Their captions name axes, units and seeds.


class Verdict(NamedTuple):
  """A criterion's answer, one of `OUTCOMES`, and a sentence with the numbers that decided it."""

  outcome: str
  seen: str


@dataclasses.dataclass(frozen=True)
class Claim:
  """A sentence of a source, and how it is put to the test.

  The argument `seeds` of `measure` is how many; it is absent if nothing is drawn.
  """

  measure: Callable[..., Evidence]  # (lab, **arguments) -> Evidence.
  criterion: Callable[[dict[str, Any]], Verdict]  # numbers -> Verdict.
  name: str  # The name of its file.
  place: float  # Its place among its source's claims, in reading order. Equal places go by name.
  sentence: str  # The source's claim, as the source means it.
  source: str  # The paper's figure, table or section, or the course's row.
  settings: str  # Networks, data and optimiser of the runs, and how they differ from the source's.
  criterion_text: str  # The criterion in words.
  quick: dict[str, Any]  # Arguments of `measure` for 2 CPU cores.
  full: dict[str, Any]  # Arguments that differ from `quick` on a GPU.
  tiny: dict[str, Any]  # Arguments that differ from `quick` in tests: the least to run every line.
  minutes: dict[str, float]  # Duration at "quick" on 2 CPU cores, and at "full" on a GPU.

  def arguments(self, scale: str) -> dict[str, Any]:
    """Gives the arguments of `measure` at a scale."""
    return self.quick | getattr(self, scale)


def verdict(holds: bool, seen: str, *, conclusive: bool = True) -> Verdict:
  """Makes a verdict: `not at this scale` if inconclusive, else reproduced or not."""
  reproduced, not_reproduced, not_at_this_scale = OUTCOMES
  outcome = reproduced if holds else not_reproduced
  return Verdict(outcome if conclusive else not_at_this_scale, seen)
