"""The parts of a claim: what a source says, how it is measured, and the criterion of its verdict.

A claim is one file in a source's folder here. Its criterion is fixed before it is run: `measure`
gives numbers and pictures and knows nothing of verdicts, `criterion` sees the numbers alone.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.figures.pictures import Picture

SCALES = ("quick", "full")
REPRODUCED, NOT_REPRODUCED, NOT_AT_THIS_SCALE = OUTCOMES = (
  "reproduced",
  "not reproduced",
  "not at this scale",
)


class Evidence(NamedTuple):
  """Results of a claim's runs.

  Attributes:
    numbers: everything that the criterion sees: JSON values by name.
    table: rows for a reader, each with the same columns; a cell is text or a number.
    pictures: figures, whose captions name axes, units and seeds.
  """

  numbers: dict[str, Any]
  table: list[dict[str, Any]]
  pictures: list[Picture]


class Verdict(NamedTuple):
  """A criterion's answer.

  Attributes:
    outcome: one of `OUTCOMES`.
    seen: a sentence with the numbers that decided it.
  """

  outcome: str
  seen: str


@dataclasses.dataclass(frozen=True)
class Claim:
  """A sentence of a source, and how it is put to the test.

  Attributes:
    name: the name of its file.
    place: its place among its source's claims, in reading order: the course's row, or the order in
      which the paper has it. Equal places go by name.
    sentence: the source's claim, as the source means it.
    source: the paper's figure, table or section, or the course's row.
    settings: networks, data and optimiser of the runs, and how they differ from the source's.
    criterion_text: the criterion in words.
    scales: arguments of `measure` at "quick", "full" and "tiny". "quick" has all of them: `seeds`,
      how many, unless nothing is drawn; `steps`; whatever else the scale changes. The other two
      have only what differs from "quick". "tiny" is for the tests: the least that runs every line.
    minutes: duration at "quick" on 2 CPU cores, and at "full" on a GPU.
    measure: (lab, **arguments) -> Evidence.
    criterion: numbers -> Verdict.
  """

  name: str
  place: float
  sentence: str
  source: str
  settings: str
  criterion_text: str
  scales: dict[str, dict[str, Any]]
  minutes: dict[str, float]
  measure: Callable[..., Evidence]
  criterion: Callable[[dict[str, Any]], Verdict]

  def arguments(self, scale: str) -> dict[str, Any]:
    """Gives the arguments of `measure` at a scale."""
    return self.scales["quick"] | self.scales[scale]


def verdict(holds: bool, seen: str, *, conclusive: bool = True) -> Verdict:
  """Makes a verdict: `not at this scale` if inconclusive, else reproduced or not."""
  if not conclusive:
    return Verdict(NOT_AT_THIS_SCALE, seen)
  return Verdict(REPRODUCED if holds else NOT_REPRODUCED, seen)
