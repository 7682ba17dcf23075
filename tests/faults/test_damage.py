"""Every file of a run and of a sweep, cut and with flipped bits: refused, warned of, or no matter.

Most runs here count instead of training (tests/helpers/counting.py): what reads, verifies and
writes is the same.
"""

import contextlib
import random
import shutil

import numpy as np
import pytest
from helpers.attacking import LOST, SURVIVED, TRACEBACK, WRONG, judge, launched, same_run
from helpers.counting import counting
from helpers.hostile import damages
from helpers.launching import TINY, copy_run, sweep_results

from experiments import mnist, sample, sweep
from experiments.engine.opening import read_recorded
from experiments.host import files
from experiments.host.errors import UserError

pytestmark = pytest.mark.campaign

# How often each file is cut and flipped; files of a checkpoint are many.
_TIMES = {"config.json": 60, "metrics.jsonl": 150, "timing.jsonl": 40, "summary.json": 40}
_TIMES_OF_OTHERS = 10
RUN = ("--steps=10", "--checkpoint_every=2")
SWEEP = ("--penalty=clip,gp", "--lambda_gp=1,10", "--members_at_once=2", "--steps=5")


def tiny(arguments):
  """The command line of a tiny run, with arguments in the place of TINY's."""
  names = {argument.split("=")[0] for argument in arguments}
  return [*(each for each in TINY if each.split("=")[0] not in names), *arguments]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """-> runs and sweeps that counted: ended, and ended earlier."""
  folder = tmp_path_factory.mktemp("folders")
  with counting():
    for name, launcher, arguments in [
      ("whole", mnist, RUN),
      ("stopped", mnist, (*RUN, "--steps=7")),
      ("sweep", sweep, SWEEP),
      ("stopped_sweep", sweep, (*SWEEP, "--steps=3")),
    ]:
      ended = launched(launcher, *tiny(arguments), f"--workdir={folder / name}")
      assert ended.status == 0, ended.err
  return folder


def damaged_files(folder, rng):
  """Every damage of every file in a folder: its place there, the damage's name, the content."""
  for path in sorted(each for each in folder.rglob("*") if each.is_file()):
    content, place = path.read_bytes(), path.relative_to(folder)
    n = _TIMES.get(place.name, _TIMES_OF_OTHERS)
    if "members" in place.parts:
      n //= 10  # There are as many as members.
    if place.suffix in (".png", ".csv") or place.name in (".lock", "results.json"):
      n = min(n, 3)  # Not read.
    for name, damage in damages(content, rng, n):
      yield place, name, damage


def attack(tally, source, path, launcher, arguments, same, seed):
  """Damages each file of a folder and goes on in it; what is refused must go on when mended."""
  for place, name, damage in damaged_files(source, random.Random(seed)):
    shutil.copytree(source, path)
    whole = (path / place).read_bytes()
    (path / place).write_bytes(damage)
    ended = launched(launcher, *tiny(arguments), f"--workdir={path}")
    # A refusal names the file, or the folder of a checkpoint's.
    named = place.name if "checkpoints" not in place.parts else "checkpoints"
    word = judge(ended, lambda place=place: same(path, place), named)
    if ended.status == 2 and word == SURVIVED:
      (path / place).write_bytes(whole)
      again = launched(launcher, *tiny(arguments), f"--workdir={path}")
      if again.status != 0 or not same(path, place):
        word = LOST
    if word == LOST and ended.warned(named):
      word = SURVIVED  # It says what is lost.
    tally.add(word, f"{place}, {name}", ended.err)
    shutil.rmtree(path)


def mend_unread(path, whole, place):
  """Brings back what nothing reads again: samples, and checkpoints of members that ended."""
  if "samples" in place.parts or {"members", "checkpoints"} <= set(place.parts):
    with contextlib.suppress(FileNotFoundError):  # The last start has removed it.
      shutil.copy(whole / place, path / place)


@pytest.mark.parametrize("source", ["stopped", "whole"])
def test_a_run_goes_on_from_damaged_files_or_names_them(counted, folders, tmp_path, source):
  def same(path, place):
    mend_unread(path, folders / source, place)
    return same_run(path, folders / "whole")

  with counted("damaged files of a run") as tally, counting():
    attack(tally, folders / source, tmp_path / "run", mnist, RUN, same, seed=0)


@pytest.mark.parametrize("source", ["stopped_sweep", "sweep"])
def test_a_sweep_goes_on_from_damaged_files_or_names_them(counted, folders, tmp_path, source):
  whole = sweep_results(folders / "sweep")

  def same(path, place):
    mend_unread(path, folders / source, place)
    own = sweep_results(path)
    return own | whole == own

  with counted("damaged files of a sweep") as tally, counting():
    attack(tally, folders / source, tmp_path / "sweep", sweep, SWEEP, same, seed=2)


def test_samples_of_a_damaged_run_are_those_of_the_whole_one(counted, tmp_path):
  """With networks and arrays as they are."""
  source, path = copy_run(tmp_path / "whole", "--steps=10"), tmp_path / "run"
  out, rng = tmp_path / "out.npz", random.Random(3)

  def drawn():
    with np.load(out) as file:
      return file["images"]

  arguments = ("--n=4", "--step=10", f"--out={out}")
  assert launched(sample, f"--workdir={source}", *arguments).status == 0
  right = drawn()
  out.unlink()
  places = [source / "config.json", *(source / "checkpoints" / "10").rglob("*")]
  with counted("damaged files, samples drawn") as tally:
    for place in sorted(each for each in places if each.is_file()):
      for name, damage in damages(place.read_bytes(), rng, 12):
        shutil.copytree(source, path)
        (path / place.relative_to(source)).write_bytes(damage)
        ended = launched(sample, f"--workdir={path}", *arguments)
        word = judge(ended, lambda: np.array_equal(drawn(), right))
        tally.add(word, f"{place.relative_to(source)}, {name}", ended.err)
        shutil.rmtree(path)
        out.unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["config.json", "summary.json", "metrics.jsonl", "timing.jsonl"])
def test_readers_refuse_every_cut(counted, folders, tmp_path, name):
  """At every length: lines that are whole are read, and nothing that was not written."""
  content, path = (folders / "whole" / name).read_bytes(), tmp_path / name
  lines = name.endswith(".jsonl")
  rows = files.read_lines(folders / "whole" / name) if lines else []
  with counted("files cut at every length") as tally:
    for length in range(len(content)):
      path.write_bytes(content[:length])
      try:
        if lines:
          read = files.read_lines(path)
          word = SURVIVED if read == rows[: content[:length].count(b"\n")] else WRONG
        else:
          reads = read_recorded if name == "config.json" else lambda path, _: files.read_json(path)
          reads(path, "run")
          word = SURVIVED if length == len(content) - 1 else WRONG  # The end of the last line.
      except UserError as error:
        word = SURVIVED if name in str(error) else TRACEBACK
      except Exception as error:
        word = TRACEBACK
        tally.add(word, f"{name} cut to {length} bytes", repr(error))
        continue
      tally.add(word, f"{name} cut to {length} bytes")
