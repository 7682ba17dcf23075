"""Writes samples in batches: a folder of PNGs, or one .npz. A call that was stopped goes on.

While samples are drawn, a folder holds the files that are whole, and begun.json, which says of what
they are. It is the folder of PNGs itself, or NAME.npz.partial beside NAME.npz. One batch is in
memory at a time.
"""

import io
import os
import pathlib
import re
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tqdm

from experiments.host import files
from experiments.host.errors import Stopped, UserError
from experiments.host.signals import stop_signals
from experiments.measures.draws import BATCH

_RECORD = "begun.json"
_JOINED = "joined"  # In the record: the .npz is whole, and its parts are being removed.
_WORDS = {"generator": "the generator's parameters"}

Draw = Callable[[int], Iterable[np.ndarray]]
"""The number of a batch -> the samples of that batch, then of each later one."""


def write_samples(
  out: pathlib.Path,
  draw: Draw,
  n: int,
  record: dict[str, Any],
  labels: np.ndarray | None = None,
) -> None:
  """Draws and writes samples; goes on where an earlier call with the same record stopped.

  Args:
    out: NAME.npz, or a folder of PNGs, whose name has no ending.
    draw: such as `generate_batches` of a `start`. Images are uint8 [batch, height, width, channels]
      of 1 or 3 channels, points float32 [batch, 2].
    n: samples in all batches, the first ones included.
    record: what decides the samples, plain JSON by the name of its flag.
    labels: the samples' classes, [n], a second array of the .npz; None for none.

  Raises:
    UserError: `out` is finished, holds something else, or was begun with another record.
    Stopped: a signal asked to stop; all that was drawn is written.
    OSError: a file cannot be written.
  """
  if out.suffix == "":
    _begin(out, out, record, ".png")
    _draw(out, draw, n, _count(out, n, ".png") // BATCH, _write_pictures)
    files.remove_file(out / _RECORD)
    return
  folder, n_parts = out.with_name(f"{out.name}.partial"), -(-n // BATCH)
  there = os.path.lexists(out)
  if there and not (folder / _RECORD).is_file():
    raise UserError(f"--out={out} exists: remove it or name another")
  joined = _begin(out, folder, record, ".npy")
  n_there = _count(folder, n_parts, ".npy")
  if there and not joined and n_there < n_parts:  # It came while samples were drawn.
    raise UserError(f"--out={out} exists: remove it or name another")
  if not there:
    _draw(folder, draw, n, n_there, _write_part)
    _join(out, folder, n, n_parts, labels)
  # Killed from here on, the same command finds this beside the file, and fewer parts.
  files.write_json(folder / _RECORD, record | {_JOINED: True})
  for part in _paths(folder, n_parts, ".npy"):
    files.remove_file(part)
  files.remove_file(folder / _RECORD)
  files.remove_folder(folder)


def _begin(out: pathlib.Path, folder: pathlib.Path, record: dict, ending: str) -> bool:
  """Makes a folder with its record, or checks that it holds the beginning of the same samples.

  Returns:
    Whether the .npz was joined.

  Raises:
    UserError: it is something else, holds other files, or was begun with another record.
  """
  taken = UserError(f"--out={folder} exists: remove it or name another")
  if folder != out:
    taken = UserError(f"{folder}, where --out={out} is drawn, holds something else: remove it")
  if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
    raise taken
  folder.mkdir(parents=True, exist_ok=True)
  if not (folder / _RECORD).exists():
    # Killed before there was a record, it is empty: as good as none.
    if not all(files.is_partial(each) and _RECORD in each.name for each in folder.iterdir()):
      raise taken
    files.write_json(folder / _RECORD, record)
  found = files.read_json(folder / _RECORD)
  joined = found.pop(_JOINED, False) is True
  differ = [
    f"{_WORDS.get(name, f'--{name}')} ({found.get(name)} there, {record.get(name)} here)"
    for name in dict.fromkeys([*record, *found])
    if found.get(name) != record.get(name)
  ]
  if differ:
    raise UserError(
      f"--out={out} was begun with other samples, which differ in {', '.join(differ)}: agree with"
      f" them, remove {folder}, or name another"
    )
  own = re.compile(rf"{re.escape(_RECORD)}|\d{{6}}{re.escape(ending)}")
  for each in folder.iterdir():
    if files.is_partial(each):  # Of what a kill has interrupted.
      files.remove_file(each)
    elif not own.fullmatch(each.name):
      raise UserError(f"{each} is none of the samples of --out={out}: take it out of there")
  return joined


def _paths(folder, n, ending):
  return (folder / f"{i:06d}{ending}" for i in range(n))


def _count(folder, n, ending) -> int:
  """Counts the files up to the first that is not there: they are whole, and written in order."""
  return next((i for i, path in enumerate(_paths(folder, n, ending)) if not path.exists()), n)


def _draw(folder, draw, n, start, write):
  """Writes the batches from `start` on, by `write(folder, number of the batch, batch)`."""
  done = min(start * BATCH, n)
  if done == n:
    return
  bar = tqdm.tqdm(initial=done, total=n, unit="sample", dynamic_ncols=True, disable=None)
  with bar, stop_signals("batch of samples") as stop:
    for i, batch in enumerate(draw(start), start):
      write(folder, i, batch)
      done += len(batch)
      bar.update(len(batch))
      if stop.signal and done < n:
        message = f"stopped after {done} of {n} samples; the same command goes on from there"
        raise Stopped(message, 128 + stop.signal)


def _write_pictures(folder, i, batch):
  from PIL import Image

  for place, image in enumerate(batch, i * BATCH):
    content = io.BytesIO()
    Image.fromarray(image.squeeze()).save(content, format="png")
    files.write_bytes(folder / f"{place:06d}.png", content.getvalue())


def _write_part(folder, i, batch):
  content = io.BytesIO()
  np.lib.format.write_array(content, np.ascontiguousarray(batch), allow_pickle=False)
  files.write_bytes(folder / f"{i:06d}.npy", content.getvalue())


def _read_part(path):
  try:
    return np.lib.format.read_array(io.BytesIO(files.read_bytes(path)), allow_pickle=False)
  except ValueError as error:
    raise UserError(f"{path}: damaged: remove it, and the same command draws it again") from error


def _join(out, folder, n, n_parts, labels):
  """Writes the file that `np.savez_compressed` would write of all parts at once."""
  first = _read_part(folder / f"{0:06d}.npy")
  shape, dtype = first.shape[1:], first.dtype
  header = {"descr": dtype.str, "fortran_order": False, "shape": (n, *shape)}
  name = "points" if first.ndim == 2 else "images"
  with (
    files.writing(out, folder) as file,
    zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
  ):
    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
      np.lib.format.write_array_header_1_0(entry, header)
      for i, path in enumerate(_paths(folder, n_parts, ".npy")):
        part = _read_part(path)
        if part.shape != (min(BATCH, n - i * BATCH), *shape) or part.dtype != dtype:
          raise UserError(f"{path}: damaged: remove it, and the same command draws it again")
        entry.write(part.tobytes())
    if labels is not None:
      with archive.open("labels.npy", "w") as entry:
        np.lib.format.write_array(entry, labels.astype(np.int32), allow_pickle=False)
