"""Parsers of flags that absl lacks: finite numbers, and lists of values."""

import math

from absl import flags


class FiniteParser(flags.FloatParser):
  """Parser of a finite number within bounds. absl's own accepts NaN within any bounds."""

  def convert(self, argument):
    value = super().convert(argument)
    if not math.isfinite(value):
      raise ValueError("not a finite number")
    return value


class _ListOf(flags.ArgumentParser):
  """Parser of values separated by commas, each read by another parser."""

  def __init__(self, parser: flags.ArgumentParser):
    self._parser = parser
    for name in ("enum_values", "lower_bound", "upper_bound"):
      setattr(self, name, getattr(parser, name, None))

  def parse(self, argument):
    if isinstance(argument, tuple):  # A default.
      return argument
    if not argument.strip():
      raise ValueError("an empty list: give values separated by commas, or leave the flag out")
    values = []
    for part in argument.split(","):
      try:
        value = self._parser.parse(part.strip())
      except (TypeError, ValueError) as error:
        raise ValueError(f"{part.strip()!r} in the list: {error}") from error
      if value in values:
        raise ValueError(f"{part.strip()} stands twice in the list")
      values.append(value)
    return tuple(values)

  def flag_type(self):
    return f"{self._parser.flag_type()},{self._parser.flag_type()},..."


def register_list(
  flag_values: flags.FlagValues, name: str, default, text: str, parser: flags.ArgumentParser
) -> None:
  """Registers a flag for a list of values, each read by the parser.

  With a `BooleanParser`, --name and --noname stand for one value.
  """
  serializer, boolean = flags.ArgumentSerializer(), isinstance(parser, flags.BooleanParser)
  flags.DEFINE(_ListOf(parser), name, default, text, flag_values, serializer, boolean=boolean)
