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

  Attributes:
    measure: (lab, **arguments) -> Evidence.
    criterion: numbers -> Verdict.
    name: the name of its file.
    place: its place among its source's claims, in reading order. Equal places go by name.
    sentence: the source's claim, as the source means it.
    source: the paper's figure, table or section, or the course's row.
    settings: networks, data and optimiser of the runs, and how they differ from the source's.
    criterion_text: the criterion in words.
    quick: arguments of `measure` for 2 CPU cores; `seeds` is how many, absent if nothing is drawn.
    full: arguments that differ from `quick` on a GPU.
    tiny: arguments that differ from `quick` in tests: the least that runs every line.
    minutes: duration at "quick" on 2 CPU cores, and at "full" on a GPU.
  """

  measure: Callable[..., Evidence]
  criterion: Callable[[dict[str, Any]], Verdict]
  name: str
  place: float
  sentence: str
  source: str
  settings: str
  criterion_text: str
  quick: dict[str, Any]
  full: dict[str, Any]
  tiny: dict[str, Any]
  minutes: dict[str, float]

  def arguments(self, scale: str) -> dict[str, Any]:
    """Gives the arguments of `measure` at a scale."""
    return self.quick | getattr(self, scale)


def verdict(holds: bool, seen: str, *, conclusive: bool = True) -> Verdict:
  """Makes a verdict: `not at this scale` if inconclusive, else reproduced or not."""
  reproduced, not_reproduced, not_at_this_scale = OUTCOMES
  if not conclusive:
    return Verdict(not_at_this_scale, seen)
  return Verdict(reproduced if holds else not_reproduced, seen)
