"""What a claim of a paper or a course is made of, and what it may use to put itself to the test.

A claim is one file in `experiments/claims`. Its criterion is to be fixed before it is run:
`measure` gives numbers and pictures and knows nothing of verdicts, `judge` sees the numbers alone.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.figures.pictures import Picture

SCALES = ("quick", "full")
REPRODUCED, NOT_REPRODUCED, NOT_AT_THIS_SCALE = VERDICTS = (
  "reproduced",
  "not reproduced",
  "not at this scale",
)


class Evidence(NamedTuple):
  """What a claim's runs gave.

  Attributes:
    numbers: all that the judge sees: JSON values by name.
    table: rows as a reader sees them, each with the same columns; a cell is text or a number.
    pictures: with captions that tell axes, units and seeds.
  """

  numbers: dict[str, Any]
  table: list[dict[str, Any]]
  pictures: list[Picture]


class Judgement(NamedTuple):
  """A verdict, and in a sentence with numbers what was seen."""

  verdict: str
  seen: str


@dataclasses.dataclass(frozen=True)
class Claim:
  """A sentence of a source, and how it is put to the test.

  Attributes:
    name: as its file.
    sentence: what the source claims, as it means it.
    source: where: the paper's figure, table or section; the course's row.
    settings: networks, data and optimiser of the runs, in words; where they differ from the
      source's, how.
    criterion: in words, what `judge` asks of the numbers.
    scales: by name of `SCALES`, the arguments of `measure`: `seeds`, how many, unless nothing is
      drawn; `steps`; whatever else is less than at full scale.
    minutes: by scale, its share of the time, on 2 CPU cores and on a GPU.
    measure: (lab, **scale) -> Evidence.
    judge: numbers -> Judgement.
  """

  name: str
  sentence: str
  source: str
  settings: str
  criterion: str
  scales: dict[str, dict[str, Any]]
  minutes: dict[str, float]
  measure: Callable[..., Evidence]
  judge: Callable[[dict[str, Any]], Judgement]


def verdict(holds: bool, *, tells: bool = True) -> str:
  """The verdict of a criterion, or, where the scale at hand `tells` nothing, that it does not."""
  if not tells:
    return NOT_AT_THIS_SCALE
  return REPRODUCED if holds else NOT_REPRODUCED
