"""Folders of images: which files there are, which are held out, and their classes."""

import collections
import contextlib
import hashlib
import itertools
import os
import pathlib
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from wgan_jax.data.decoding import is_grey, open_image
from wgan_jax.data.prepare import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")  # In any case.
_HINT = "--skip_corrupt leaves such files out"


class File(NamedTuple):
  """An image file.

  Attributes:
    path: relative to the folder, with "/"; bytes that are no text as `os.fsdecode` gives them.
    size: bytes.
    mtime_ns: time of the last change.
    sha256: of the content, in hexadecimal.
    grey: whether its header says that it has no colour.
  """

  path: str
  size: int
  mtime_ns: int
  sha256: str
  grey: bool


class Listing(NamedTuple):
  """The image files of a folder, and the relative paths of those left out, both sorted."""

  files: list[File]
  skipped: list[str]


def list_files(
  folder: str | os.PathLike,
  known: Mapping[str, File] | None = None,
  *,
  skip_corrupt: bool = False,
  track: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> Listing:
  """Lists the images in a folder and all folders below it.

  Names that begin with a dot, and other kinds of file, are ignored. Links are followed.

  Args:
    folder: the folder.
    known: files of an earlier listing by path. One whose size and time of change are still the same
      is not read again.
    skip_corrupt: leave out files whose header cannot be read, instead of raising.
    track: wraps the files that are read, given with their number; for a progress bar.

  Returns:
    The files, sorted by path.

  Raises:
    DataError: the folder is missing, no folder, holds fewer than two images or a link to a folder
      above itself, or a file cannot be read.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    problem = "is not a folder" if folder.exists() else "does not exist"
    raise DataError(f"{str(folder)!r} {problem}: name a folder of images")
  known = known or {}
  found = dict(sorted(_walk(folder)))
  files = {}
  for path, status in found.items():
    file = known.get(path)
    if status and file and (file.size, file.mtime_ns) == (status.st_size, status.st_mtime_ns):
      files[path] = file
  unread = [path for path in found if path not in files]
  skipped, error = [], None
  results = map_in_threads(lambda path: _read(folder, path), unread)
  for path, result in zip(unread, track(results, len(unread)), strict=True):
    if isinstance(result, File):
      files[path] = result
    elif skip_corrupt:
      skipped.append(path)
    else:
      error = result
      break  # Raised below, so that the progress bar is closed before the message.
  if error:
    raise DataError(f"{error}; {_HINT}") from error
  if len(files) < 2:
    count = "only one image" if files else "no images"
    left_out = f" that can be read, and {len(skipped)} that cannot" if skipped else ""
    raise DataError(
      f"{str(folder)!r} holds {count}{left_out}: name a folder with at least two of"
      f" {', '.join(ENDINGS)}"
    )
  return Listing([files[path] for path in found if path in files], skipped)


@contextlib.contextmanager
def open_listed(folder: str | os.PathLike, file: File) -> Iterator[BinaryIO]:
  """Opens a file if its content is still that of the listing.

  Raises:
    DataError: it cannot be read, or has changed.
  """
  path = os.path.join(folder, file.path)
  try:
    with open(path, "rb") as opened:
      if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
        raise DataError(f"{path!r} has changed since the folder was listed: run again")
      opened.seek(0)
      yield opened
  except OSError as error:
    raise DataError(
      f"{path!r} was listed and cannot be read now ({error.strerror}): run again"
    ) from error


def digest(files: Sequence[File]) -> str:
  """SHA-256 of all paths and contents, in hexadecimal."""
  lines = "".join(f"{file.path}\0{file.sha256}\n" for file in files)
  return hashlib.sha256(os.fsencode(lines)).hexdigest()


def held_out(files: Sequence[File]) -> np.ndarray:
  """Chooses a tenth of the files, by content, to be kept from training.

  A file is held out if the first 32 bits of its SHA-256 are divisible by 10. So adding or renaming
  files moves none, and copies of one image stay together. If this holds out no file or every file,
  the file with the smallest SHA-256 alone goes to the other side.

  Returns:
    bool [n], with at least one file on each side for n >= 2.
  """
  chosen = np.array([int(file.sha256[:8], 16) % 10 == 0 for file in files], bool)
  if files and (chosen.all() or not chosen.any()):
    smallest = min(range(len(files)), key=lambda i: (files[i].sha256, files[i].path))
    chosen[smallest] = not chosen[smallest]
  return chosen


def classes(files: Sequence[File]) -> tuple[str, ...]:
  """Sorted names of the top-level subfolders if all files are in at least two; else ()."""
  names = {file.path.partition("/")[0] for file in files if "/" in file.path}
  complete = all("/" in file.path for file in files) and len(names) > 1
  return tuple(sorted(names)) if complete else ()


def labels(files: Sequence[File], classes: Sequence[str]) -> np.ndarray:
  """Index in `classes` of each file's top-level subfolder, int32 [n]."""
  index = {name: i for i, name in enumerate(classes)}
  return np.array([index[file.path.partition("/")[0]] for file in files], np.int32)


def check_classes(
  folder: str | os.PathLike,
  classes: Sequence[str],
  labels: np.ndarray | None,
  held_out: np.ndarray,
) -> None:
  """Checks that a network can be trained on each class.

  Args:
    folder: for the messages.
    classes: as `classes` returns them.
    labels: int32 [n]; not read if there are no classes.
    held_out: bool [n].

  Raises:
    DataError: there are no classes, or one has fewer than two images or none to train on.
  """
  folder = str(folder)
  if not classes:
    raise DataError(
      f"{folder!r} has no classes: put the images of each class into a subfolder of its own, two"
      " subfolders or more, with no image beside them"
    )
  everything = np.bincount(labels, minlength=len(classes))
  training = np.bincount(labels[~held_out], minlength=len(classes))
  for name, n, n_training in zip(classes, everything, training, strict=True):
    if n < 2:
      raise DataError(
        f"{folder!r}: class {name!r} has {'1 image' if n else 'no image that can be read'}:"
        " add images, or remove its subfolder"
      )
    if n_training == 0:
      raise DataError(
        f"{folder!r}: all {n} images of class {name!r} are held out from training: add images"
      )


def map_in_threads(
  function: Callable[[Any], Any], items: Iterable, chunk: int = 16
) -> Iterator[Any]:
  """Yields function(item) of each item, in order, computed ahead by a thread for each core.

  What is computed ahead is bounded, so any number of items needs little memory. Close the iterator
  to stop early.
  """
  n_threads = os.cpu_count() or 1
  items, pending = iter(items), collections.deque()
  pool = ThreadPoolExecutor(n_threads)
  try:
    while True:
      while len(pending) < 3 * n_threads and (batch := list(itertools.islice(items, chunk))):
        pending.append(pool.submit(lambda batch: [function(item) for item in batch], batch))
      if not pending:
        return
      yield from pending.popleft().result()
  finally:
    pool.shutdown(cancel_futures=True)


def _walk(folder, prefix="", above=()):
  """Yields relative path and status of each image file; status None if it has none."""
  path = os.path.join(folder, prefix)
  try:
    here = os.stat(path)
    with os.scandir(path) as entries:
      entries = [entry for entry in entries if not entry.name.startswith(".")]
  except OSError as error:
    raise DataError(f"{path!r}: cannot be read ({error.strerror}): make it readable") from error
  if (here.st_dev, here.st_ino) in above:
    raise DataError(f"{path.rstrip('/')!r} is a link to a folder above itself: remove it")
  above = (*above, (here.st_dev, here.st_ino))
  for entry in entries:
    try:
      status = entry.stat()
    except OSError:  # A link to nowhere, or in a circle.
      status = None
    if status and stat.S_ISDIR(status.st_mode):
      yield from _walk(folder, f"{prefix}{entry.name}/", above)
    elif entry.name.lower().endswith(ENDINGS) and (not status or stat.S_ISREG(status.st_mode)):
      yield prefix + entry.name, status


def _read(folder, path):
  """Reads a file's content and header; returns a DataError instead of raising it."""
  name = os.path.join(folder, path)
  try:
    with open(name, "rb") as file:
      status = os.fstat(file.fileno())
      sha256 = hashlib.file_digest(file, "sha256").hexdigest()
      file.seek(0)
      with open_image(file) as image:
        return File(path, status.st_size, status.st_mtime_ns, sha256, is_grey(image))
  except OSError as error:
    return DataError(f"{name!r}: cannot be read ({error.strerror}): make it readable or remove it")
  except DataError as error:
    return error
