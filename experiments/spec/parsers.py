"""Parsers of flags that absl lacks: finite numbers, sizes of images, and lists of values."""

import math
import re
from collections.abc import Callable

from absl import flags


class FiniteParser(flags.FloatParser):
  """Parser of a finite number within bounds. absl's own accepts NaN within any bounds."""

  def convert(self, argument):
    value = super().convert(argument)
    if not math.isfinite(value):
      raise ValueError("not a finite number")
    return value


_LEAST_SIDE, _MOST_SIDE = 16, 128
_SIZE = re.compile(r"(\d{1,4})(?:[,x](\d{1,4}))?")


def parse_size(text: str) -> str:
  """Reads a size of images, "32", "32,48" or "32x48", as height and width; "32x48".

  Raises:
    ValueError: it is none, or a side is out of bounds.
  """
  found = _SIZE.fullmatch(text)
  if found is None:
    raise ValueError(f"{text!r} is no size: give H,W or one number")
  sides = [int(found[1]), int(found[2] or found[1])]
  if not _LEAST_SIDE <= min(sides) <= max(sides) <= _MOST_SIDE:
    raise ValueError(f"{text!r} has a side that is not between {_LEAST_SIDE} and {_MOST_SIDE}")
  return "{}x{}".format(*sides)


def sides_of(size: str) -> tuple[int, int]:
  """Height and width of what `parse_size` returned."""
  height, width = map(int, size.split("x"))
  return height, width


class TextParser(flags.ArgumentParser):
  """Parser of a string by a function that raises ValueError for others."""

  def __init__(self, read: Callable[[str], str]):
    self._read = read

  def parse(self, argument):
    return self._read(argument)


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
