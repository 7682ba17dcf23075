"""Files of a run: written whole or not at all, never through a link, and lines that survive a kill.

Nothing else in `experiments` opens, writes or removes a file. What is there already and is no
regular file, such as a link in the run folder of a stranger, is refused: it may lead to others'
files. JSON is checked against types, as msgspec does it.
"""

import contextlib
import errno
import fcntl
import glob
import json
import math
import os
import pathlib
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import msgspec
import numpy as np

from experiments.host.errors import UserError

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Writes a file atomically: it is never seen half-written.

  Raises:
    OSError: names the file.
  """
  with writing(path) as file:
    file.write(content)


@contextlib.contextmanager
def writing(path: pathlib.Path, folder: pathlib.Path | None = None) -> Iterator[BinaryIO]:
  """Opens a file for writing that gets its name when the block has ended well: it is whole then.

  Args:
    path: the file. One that is there is replaced.
    folder: where it is written, on the same file system; None for where it will be.

  Raises:
    OSError: names the file.
  """
  # A name that nobody can foresee, and none else writes to.
  partial = (folder or path.parent) / f".{path.name}.{secrets.token_hex(8)}.partial"
  try:
    with _named(path):
      with open_regular(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
        yield file
      os.replace(partial, path)
  except BaseException:  # Ctrl-C, too, must leave nothing.
    remove_file(partial)
    raise


def write_chunks(path: pathlib.Path, chunks: Iterable[bytes]) -> None:
  """Writes a file larger than memory atomically, chunk by chunk.

  Its ending is for such files alone: what killed processes have left of them is removed first.

  Raises:
    OSError: names the file.
  """
  for left in path.parent.glob(f".*{glob.escape(path.suffix)}.*.partial"):
    _remove_abandoned(left)
  with writing(path) as file:
    with contextlib.suppress(OSError):  # Some network file systems have no locks.
      fcntl.flock(file, fcntl.LOCK_EX)
    for chunk in chunks:
      file.write(chunk)


def map_bytes(path: pathlib.Path, shape: tuple[int, ...]) -> np.memmap:
  """Maps a regular file read-only, as uint8 of a shape.

  Raises:
    OSError: it cannot be read, is a link, or has another size; names the file.
  """
  with _named(path), open_regular(path, os.O_RDONLY) as file:
    if os.fstat(file.fileno()).st_size != math.prod(shape):
      raise OSError(None, f"not {math.prod(shape)} bytes", str(path))
    array = np.memmap(file, np.uint8, "r", shape=shape)
  array.filename = str(path)  # It was given a number.
  return array


def _remove_abandoned(partial):
  """Removes a partial file unless a process is writing it, and so holds its lock."""
  with contextlib.suppress(OSError), open_regular(partial, os.O_RDONLY) as file:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    remove_file(partial)


def is_partial(path: pathlib.Path) -> bool:
  """Whether a file's name is one that `writing` gives until it is whole."""
  return path.name.startswith(".") and path.name.endswith(".partial")


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
  try:
    descriptor = os.open(path, flags, 0o666)
  except OSError as error:
    if error.errno != errno.ELOOP:
      raise
    raise OSError(error.errno, "is a link: put the file itself there", str(path)) from error
  if not stat.S_ISREG(os.fstat(descriptor).st_mode):
    os.close(descriptor)
    raise OSError(None, "no regular file", str(path))
  writes = flags & (os.O_WRONLY | os.O_RDWR)
  return open(descriptor, "ab" if flags & os.O_APPEND else "wb" if writes else "rb")


def read_bytes(path: pathlib.Path, inside: pathlib.Path | None = None) -> bytes:
  """Reads a regular file.

  Args:
    path: the file.
    inside: a folder that it must be in, wherever links on its path lead.

  Raises:
    OSError: it cannot be read, is a link, no regular file, or elsewhere; names the file.
  """
  try:
    is_outside = inside is not None and not path.resolve().is_relative_to(inside.resolve())
  except (RuntimeError, ValueError) as error:  # Links in a circle, or a NUL.
    raise OSError(None, "no path", repr(str(path))) from error
  if is_outside:
    raise OSError(None, f"not in {inside}", str(path))
  with _named(path), open_regular(path, os.O_RDONLY) as file:
    return file.read()


def remove_file(path: pathlib.Path) -> None:
  """Removes a file, if it is there; of a link, the link.

  Raises:
    OSError: it cannot be removed, or is a folder; names it.
  """
  path.unlink(missing_ok=True)


def remove_folder(path: pathlib.Path) -> None:
  """Removes a folder, if it is there, with all that is in it; follows no link.

  Raises:
    OSError: it cannot be removed, or is a link or no folder; names it.
  """
  if path.is_symlink() or (path.exists() and not path.is_dir()):  # Of a pipe, `rmtree` waits.
    raise OSError(None, "is a link or no folder", str(path))
  if path.exists():
    shutil.rmtree(path)


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
  text = text if isinstance(text, str) else text.decode()  # Strictly; `json` takes more.
  try:
    value = json.loads(text)
    if "\\u" in text:  # Half a pair is no letter, and no file could hold it.
      json.dumps(value, ensure_ascii=False).encode()
    return _map_leaves(_from_json, value)
  except RecursionError as error:
    raise ValueError("nested too deep") from error


def read_json(path: pathlib.Path, kind: Any = dict) -> dict:
  """Reads a JSON object.

  Args:
    path: the file.
    kind: what it must be, a type that `msgspec.convert` takes; what else it holds stays in it.

  Raises:
    UserError: the file is missing or damaged.
  """
  try:
    value = loads(read_bytes(path))
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error
  except ValueError as error:
    raise UserError(f"{path}: damaged, no valid JSON; restore it or use another folder") from error
  return check(value, kind, path)


def check(
  value: Any, kind: Any, path: pathlib.Path, remedy: str = "restore it or use another folder"
) -> Any:
  """Returns what a file holds.

  Raises:
    UserError: it is not of the kind, a type that `msgspec.convert` takes; names the field.
  """
  try:
    msgspec.convert(value, kind)
  except msgspec.ValidationError as error:
    what = str(error).replace("`$.", "`").replace("`$", "`")
    raise UserError(f"{path}: damaged, or of another version: {what}; {remedy}") from error
  return value


def append_line(path: pathlib.Path, row: dict) -> None:
  """Appends one JSON line.

  Raises:
    OSError: names the file.
  """
  with _named(path), open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
    file.write(encode_lines([row]))


def read_lines(path: pathlib.Path, kind: Any = dict) -> list[dict]:
  """Reads the complete lines of a JSON lines file, without a torn last one that a kill has left.

  Args:
    path: the file; none if it does not exist.
    kind: what each line must be, as in `read_json`.

  Raises:
    UserError: a complete line is damaged, or the file cannot be read.
  """
  try:
    *lines, _ = read_bytes(path).split(b"\n")  # After the last line's end: torn, or empty.
    rows = [loads(line) for line in lines]
  except FileNotFoundError:
    return []
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error
  except ValueError as error:
    raise UserError(f"{path}: damaged, a line is no valid JSON; restore or remove it") from error
  return check(rows, list[kind], path, "restore or remove it")


def write_lines(path: pathlib.Path, rows: Sequence[dict]) -> None:
  """Writes JSON lines, atomically; of none it makes no file."""
  if rows or path.exists():
    write_bytes(path, encode_lines(rows))


def encode_lines(rows: Iterable[dict]) -> bytes:
  """Returns JSON lines."""
  return "".join(dumps(row) + "\n" for row in rows).encode()


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
