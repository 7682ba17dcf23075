"""Atomic writes, so that a file is whole or absent, and JSON lines that survive a kill."""

import json
import os
import pathlib
from collections.abc import Callable

from experiments.host.errors import UserError


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Writes a file atomically: it is never seen half-written."""
  partial = path.with_name(f".{path.name}.partial")
  try:
    partial.write_bytes(content)
    os.replace(partial, path)
  except OSError:
    partial.unlink(missing_ok=True)
    raise


def write_json(path: pathlib.Path, value: object) -> None:
  """Writes indented JSON, atomically."""
  write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: pathlib.Path) -> dict:
  """Reads a JSON object.

  Raises:
    UserError: the file is missing or damaged.
  """
  try:
    value = json.loads(path.read_bytes())
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error
  except ValueError as error:
    raise UserError(f"{path}: damaged, no valid JSON; restore it or use another folder") from error
  if not isinstance(value, dict):
    raise UserError(f"{path}: damaged, no JSON object; restore it or use another folder")
  return value


def append_line(path: pathlib.Path, row: dict) -> None:
  """Appends one JSON line."""
  with path.open("a", encoding="utf-8") as file:
    file.write(json.dumps(row) + "\n")


def read_lines(path: pathlib.Path) -> list[dict]:
  """Reads the complete lines of a JSON lines file, without a torn last one that a kill has left.

  Raises:
    UserError: a complete line is damaged.
  """
  if not path.exists():
    return []
  *lines, _ = path.read_bytes().split(b"\n")  # After the last line's end: torn, or empty.
  try:
    return [json.loads(line) for line in lines]
  except ValueError as error:
    raise UserError(f"{path}: damaged, a line is no valid JSON; restore or remove it") from error


def keep_lines(path: pathlib.Path, keep: Callable[[dict], bool]) -> None:
  """Keeps the lines for which `keep` is true; drops the others and a torn last one."""
  if path.exists():
    rows = [row for row in read_lines(path) if keep(row)]
    write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
