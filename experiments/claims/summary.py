"""Summaries of numbers by seed: rows of a table, ranges in words; and the steps to look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.report.results import Member


def rows_by_seed(labels: dict[str, str], columns: dict[str, Sequence]) -> list[dict[str, Any]]:
  """Makes a table's row for each seed: labels, which all rows share, and a value of each column.

  A column's title may be an identifier, with `_` for each space.
  """
  rows = []
  for seed, values in enumerate(zip(*columns.values(), strict=True)):
    row = labels | {"seed": seed}
    for name, value in zip(columns, values, strict=True):
      title = name if " " in name else name.replace("_", " ")
      row[title] = value.item() if isinstance(value, np.generic) else value
    rows.append(row)
  return rows


def by_seed(values: Sequence[float], form: str = ".3g") -> str:
  """Lists values in words: "1.5, 2"."""
  return ", ".join(f"{value:{form}}" for value in values)


def arrays(numbers: dict[str, Any], *names: str) -> list[np.ndarray]:
  """Takes numbers by name, as arrays."""
  return [np.array(numbers[name]) for name in names]


def curves(members: Sequence[Member], name: str) -> list[list[tuple[int, float]]]:
  """Takes a measure of a sweep's members over training: for each of them (step, value)."""
  return [[(line["step"], line[name]) for line in each.lines if name in line] for each in members]


def by_column(rows: Sequence[dict[str, Any]]) -> dict[str, list]:
  """Turns rows of the same names into a list for each name."""
  return {name: [row[name] for row in rows] for name in rows[0]}


def span(values: Sequence[float], form: str = ".3g") -> str:
  """Gives the least and the largest value in words: "1.5 to 2"."""
  return f"{np.min(values):{form}} to {np.max(values):{form}}"


def even_steps(steps: int, n: int) -> list[int]:
  """Lists up to n steps at even distances, the last of them `steps`, none of them 0."""
  return sorted({max(1, steps * i // n) for i in range(1, n + 1)})


def sigmoid(scores: np.ndarray) -> np.ndarray:
  """Turns scores into probabilities in float64, without overflow."""
  return 1 / (1 + np.exp(-np.clip(scores.astype(np.float64), -500, 500)))
