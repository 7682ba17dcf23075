"""Files of a run: written whole or not at all, never through a link, and lines that survive a kill.

Nothing else in `experiments` opens a file to write it. What is there already and is no regular
file, such as a link in the run folder of a stranger, is refused: it may lead to others' files.
"""

import contextlib
import json
import math
import os
import pathlib
import secrets
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

from experiments.host.errors import UserError

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Writes a file atomically: it is never seen half-written.

  Raises:
    OSError: names the file.
  """
  # A name that nobody can foresee, and none else writes to.
  partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
  try:
    with _named(path):
      with open_regular(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
        file.write(content)
      os.replace(partial, path)
  except BaseException:  # Ctrl-C, too, must leave nothing.
    partial.unlink(missing_ok=True)
    raise


def open_regular(path: pathlib.Path, flags: int) -> BinaryIO:
  """Opens a regular file, whatever else may be at the path.

  Args:
    path: the file.
    flags: of `os.open`, without os.O_TRUNC.

  Raises:
    OSError: it cannot be opened, is a link, or no regular file; names the file.
  """
  # Without blocking: a FIFO would wait for its other end.
  flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
  descriptor = os.open(path, flags, 0o666)
  if not stat.S_ISREG(os.fstat(descriptor).st_mode):
    os.close(descriptor)
    raise OSError(None, "no regular file", str(path))
  writes = flags & (os.O_WRONLY | os.O_RDWR)
  return open(descriptor, "ab" if flags & os.O_APPEND else "wb" if writes else "rb")


def write_json(path: pathlib.Path, value: object) -> None:
  """Writes indented JSON, atomically; numbers that are not finite as strings, as `dumps` does."""
  write_bytes(path, (dumps(value, indent=2) + "\n").encode())


def dumps(value: object, indent: int | None = None) -> str:
  """Returns strict JSON: NaN and infinities, which it has no numbers for, are strings."""
  return json.dumps(_map_leaves(_to_json, value), indent=indent, allow_nan=False)


def loads(text: str | bytes) -> object:
  """Reads what `dumps` returned.

  Raises:
    ValueError: it is no JSON.
  """
  try:
    return _map_leaves(_from_json, json.loads(text))
  except RecursionError as error:
    raise ValueError("nested too deep") from error


def read_json(path: pathlib.Path) -> dict:
  """Reads a JSON object.

  Raises:
    UserError: the file is missing or damaged.
  """
  try:
    value = loads(path.read_bytes())
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error
  except ValueError as error:
    raise UserError(f"{path}: damaged, no valid JSON; restore it or use another folder") from error
  if not isinstance(value, dict):
    raise UserError(f"{path}: damaged, no JSON object; restore it or use another folder")
  return value


def append_line(path: pathlib.Path, row: dict) -> None:
  """Appends one JSON line.

  Raises:
    OSError: names the file.
  """
  with _named(path), open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
    file.write((dumps(row) + "\n").encode())


def read_lines(path: pathlib.Path) -> list[dict]:
  """Reads the complete lines of a JSON lines file, without a torn last one that a kill has left.

  Raises:
    UserError: a complete line is damaged: no JSON object, or its step is no number.
  """
  if not path.exists():
    return []
  *lines, _ = path.read_bytes().split(b"\n")  # After the last line's end: torn, or empty.
  try:
    rows = [loads(line) for line in lines]
  except ValueError as error:
    raise UserError(f"{path}: damaged, a line is no valid JSON; restore or remove it") from error
  if not all(isinstance(row, dict) and type(row.get("step", 0)) is int for row in rows):
    raise UserError(f"{path}: damaged, a line is no JSON object with a step; restore or remove it")
  return rows


def keep_lines(path: pathlib.Path, keep: Callable[[dict], bool]) -> None:
  """Keeps the lines for which `keep` is true; drops the others and a torn last one."""
  if path.exists():
    rows = [row for row in read_lines(path) if keep(row)]
    write_bytes(path, "".join(dumps(row) + "\n" for row in rows).encode())


@contextlib.contextmanager
def _named(path: pathlib.Path) -> Iterator[None]:
  """Gives errors of the system the name of the file: a full disk's have none."""
  try:
    yield
  except OSError as error:
    raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _map_leaves(change, value):
  if isinstance(value, dict):
    return {key: _map_leaves(change, each) for key, each in value.items()}
  if isinstance(value, list | tuple):
    return [_map_leaves(change, each) for each in value]
  return change(value)


def _to_json(value):
  if isinstance(value, float) and not math.isfinite(value):
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
  return value


def _from_json(value):
  return _NOT_FINITE.get(value, value) if isinstance(value, str) else value
