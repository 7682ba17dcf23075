"""All measures, and where each is shown."""

from experiments.measures import classes, critics, samples, training
from experiments.measures.rows import Measure

_MODULES = (samples, critics, training, classes)


def all_rows() -> list[Measure]:
  """The row of every measure, in the order of lines, tables and the terminal."""
  return [row for module in _MODULES for row in module.rows()]


def compared() -> dict[str, Measure]:
  """Measures by which a sweep compares its members, by name."""
  return {row.name: row for row in all_rows() if row.group}


def groups() -> dict[str, dict[str, Measure]]:
  """`compared`, by group."""
  found = {}
  for name, row in compared().items():
    found.setdefault(row.group, {})[name] = row
  return found


def short_names() -> dict[str, str]:
  """Names in the terminal, by measure."""
  return {row.name: row.short for row in all_rows() if row.short}
