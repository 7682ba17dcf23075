"""Folders of images: a listing in the user's cache makes the second start fast.

Listings are kept by folder, so that a file is read again only if its size or time has changed, and
by content, so that a run can say which files have changed since it began.
"""

import contextlib
import hashlib
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import tqdm

from experiments.host.cache import read_arrays, user_cache_folder, write_arrays
from wgan_jax.data import folder as folders
from wgan_jax.data.folder import File

_SETTLED = 2 * 10**9  # Nanoseconds; the coarsest clock of a common file system.


class Scan(NamedTuple):
  """What is known of a folder before any image is decoded.

  Attributes:
    folder: the folder.
    files: those whose header could be read, sorted by path.
    skipped: paths of those left out.
    classes: names of the top-level subfolders, or ().
    labels: int32 [n], or None without classes.
    held_out: bool [n].
    channels: 1 if all files are grey, else 3.
    sha256: digest of paths and contents.
    skip_corrupt: whether damaged files are left out.
  """

  folder: pathlib.Path
  files: list[File]
  skipped: tuple[str, ...]
  classes: tuple[str, ...]
  labels: np.ndarray | None
  held_out: np.ndarray
  channels: int
  sha256: str
  skip_corrupt: bool


def scan(folder: str | os.PathLike, *, skip_corrupt: bool = False) -> Scan:
  """Lists a folder's images, their classes and whether they are grey, without decoding any.

  Raises:
    DataError: as in `wgan_jax.data.folder.list_files`.
  """
  folder = pathlib.Path(os.path.expanduser(folder))
  started = time.time_ns()
  kept = _at(folder)
  known = _read_listing(kept)
  listing = folders.list_files(
    folder, known, skip_corrupt=skip_corrupt, track=progress_bar("reading")
  )
  files = listing.files
  sha256 = folders.digest(files)
  # A file changed just now may change again within one tick of its clock.
  settled = [file for file in files if file.mtime_ns < started - _SETTLED]
  with contextlib.suppress(OSError):
    if {file.path: file for file in settled} != known:
      _write_listing(kept, settled)
    if not _by_content(sha256).exists():
      _write_listing(_by_content(sha256), files)
  classes = folders.classes(files)
  return Scan(
    folder=folder,
    files=files,
    skipped=tuple(listing.skipped),
    classes=classes,
    labels=folders.labels(files, classes) if classes else None,
    held_out=folders.held_out(files),
    channels=1 if all(file.grey for file in files) else 3,
    sha256=sha256,
    skip_corrupt=skip_corrupt,
  )


def changed(scan: Scan, sha256: str) -> str | None:
  """Says what has changed since an earlier scan of the same folder.

  Args:
    scan: the folder now.
    sha256: that of the earlier `Scan`, or of what was prepared from it.

  Returns:
    Such as "2 changed ('a.png', ...), 1 gone ('b.png')"; None if nothing has, or if the cache does
    not hold the earlier listing.
  """
  with contextlib.suppress(Exception):
    sha256 = str(read_arrays(cache_folder() / f"{sha256}.npz")["listing"])
  earlier = _read_listing(_by_content(sha256))
  now = {file.path: file for file in scan.files}
  if not earlier:
    return None
  kinds = {
    "changed": [path for path in now if path in earlier and now[path][3] != earlier[path][3]],
    "added": [path for path in now if path not in earlier],
    "gone": [path for path in earlier if path not in now],
  }
  parts = [
    f"{len(paths)} {kind} ({paths[0]!r}{', ...' if len(paths) > 1 else ''})"
    for kind, paths in kinds.items()
    if paths
  ]
  return ", ".join(parts) or None


def cache_folder() -> pathlib.Path:
  """The part of the user's cache that holds listings and prepared images."""
  return user_cache_folder() / "folders"


def progress_bar(what: str) -> Callable[[Iterable, int], Iterable]:
  """A progress bar on standard error, if that is a terminal."""
  return lambda items, total: tqdm.tqdm(
    items, what, total, unit="image", dynamic_ncols=True, disable=None if total else True
  )


def _at(folder: pathlib.Path) -> pathlib.Path:
  place = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()
  return cache_folder() / f"at-{place}.npz"


def _by_content(sha256: str) -> pathlib.Path:
  return cache_folder() / f"listing-{sha256}.npz"


def _read_listing(path: pathlib.Path) -> Mapping[str, File]:
  """Reads a listing by path; none if it is missing or damaged."""
  with contextlib.suppress(Exception):
    arrays = read_arrays(path)
    paths = os.fsdecode(arrays["paths"].tobytes()).split("\0")
    joined = arrays["sha256"].tobytes().hex()
    hashes = (joined[i : i + 64] for i in range(0, len(joined), 64))
    columns = (arrays[name].tolist() for name in ("size", "mtime_ns", "grey"))
    rows = zip(paths, *columns, hashes, strict=True)
    return {path: File(path, size, time, hash_, grey) for path, size, time, grey, hash_ in rows}
  return {}


def _write_listing(path: pathlib.Path, files: list[File]) -> None:
  hashes = bytes.fromhex("".join(file.sha256 for file in files))
  path.parent.mkdir(parents=True, exist_ok=True)
  arrays = {
    "paths": np.frombuffer(os.fsencode("\0".join(file.path for file in files)), np.uint8),
    "size": np.array([file.size for file in files], np.int64),
    "mtime_ns": np.array([file.mtime_ns for file in files], np.int64),
    "grey": np.array([file.grey for file in files], bool),
    "sha256": np.frombuffer(hashes, np.uint8),
  }
  write_arrays(path, arrays)
