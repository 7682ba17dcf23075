"""Samples in batches: what was stopped anywhere goes on, and gives the same bytes."""

import contextlib
import json
import os
import shutil
import signal
import tracemalloc

import numpy as np
import pytest

from experiments.host.errors import Stopped, UserError
from experiments.report import drawing

N = 10  # In batches of 4: two whole ones, and one of two samples.
RECORD = {"n": N, "seed": 0, "step": 4, "averaged": True, "generator": "ab"}
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 4, 6, 3), np.uint8)
FORMS = ["pictures", "samples.npz"]


class Killed(BaseException):
  """As a SIGKILL: nothing handles it."""


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
  monkeypatch.setattr(drawing, "BATCH", 4)


def write(out, record=RECORD, images=IMAGES, begun=None):
  """Draws; `begun` gets the numbers of the batches that are drawn."""

  def draw(start):
    for i in range(start, 3):
      if begun is not None:
        begun.append(i)
      yield images[4 * i : 4 * i + 4]

  drawing.write_samples(out, draw, len(images), record)


def content(out):
  """The bytes of each file that there is of samples, anywhere beside or in them."""
  paths = sorted(path for path in out.parent.rglob("*") if path.is_file())
  return {str(path.relative_to(out.parent)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """-> by form, the content of what was never stopped."""
  found = {}
  for form in FORMS:
    out = tmp_path_factory.mktemp("whole") / form
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(drawing, "BATCH", 4)
      write(out)
    found[form] = content(out)
  return found


def test_an_npz_is_that_of_numpy(whole, tmp_path):
  np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
  assert whole["samples.npz"] == {"samples.npz": (tmp_path / "a.npz").read_bytes()}
  points = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
  np.savez_compressed(tmp_path / "b.npz", points=points)
  write(tmp_path / "c.npz", images=points)
  assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_pictures_are_numbered_and_nothing_else_stays(whole):
  assert list(whole["pictures"]) == [f"pictures/{i:06d}.png" for i in range(N)]


class Killing:
  """Changes of files, of which one is the last of a process: nothing after it happens."""

  def __init__(self, patch, last, *, done):
    """`done`: whether the last change happens, or the kill comes before it."""
    self.count, self.is_dead = 0, False
    for name in ("replace", "unlink", "mkdir", "rmdir"):
      patch.setattr(os, name, self._counted(getattr(os, name), last, done))

  def _counted(self, change, last, done):
    def counted(*arguments, **options):
      self.count += 1
      if self.is_dead or (self.count == last and not done):
        self.is_dead = True
        raise Killed
      changed = change(*arguments, **options)
      if self.count == last:
        self.is_dead = True
        raise Killed
      return changed

    return counted


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("done", [False, True])
def test_killed_at_any_change_of_a_file_it_goes_on_to_the_same_bytes(whole, tmp_path, form, done):
  for last in range(1, 100):
    out = tmp_path / str(last) / form
    out.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:
      killing = Killing(patch, last, done=done)
      with contextlib.suppress(Killed):
        write(out)
    if not killing.is_dead:
      break
    if content(out) != whole[form]:
      write(out)
    assert content(out) == whole[form], last
    with pytest.raises(UserError, match="exists"):  # It is finished.
      write(out)
  assert last > (N if form == "pictures" else 6)


class Interrupting(list):
  """Ctrl-C while the batch of a number is drawn."""

  def __init__(self, after):
    super().__init__()
    self.after = after

  def append(self, i):
    if i == self.after:
      raise KeyboardInterrupt


def test_no_batch_that_is_there_is_drawn_again(whole, tmp_path):
  for form in FORMS:
    with pytest.raises(KeyboardInterrupt):
      write(tmp_path / form, begun=Interrupting(after=2))
  (tmp_path / "pictures/000006.png").unlink()  # Of the second batch, as after a kill within it.
  (tmp_path / "pictures/000007.png").unlink()
  for form, expected in zip(FORMS, ([1, 2], [2]), strict=True):
    begun = []
    write(tmp_path / form, begun=begun)
    assert begun == expected


@pytest.mark.parametrize("form", FORMS)
def test_a_signal_stops_after_the_batch_and_it_goes_on(whole, tmp_path, form, capsys):
  class Signalling(list):
    def append(self, i):
      super().append(i)
      if i == 1:
        signal.raise_signal(signal.SIGTERM)

  out, begun = tmp_path / form, Signalling()
  with pytest.raises(Stopped, match="stopped after 8 of 10 samples; the same") as stopped:
    write(out, begun=begun)
  assert stopped.value.status == 128 + signal.SIGTERM
  assert "when this batch of samples ends" in capsys.readouterr().err
  begun = []
  write(out, begun=begun)
  assert begun == [2]
  assert content(out) == whole[form]


@pytest.mark.parametrize("form", FORMS)
def test_another_beginning_is_refused_by_what_differs(tmp_path, form):
  out = tmp_path / form
  with pytest.raises(KeyboardInterrupt):
    write(out, begun=Interrupting(after=1))
  before = content(out)
  for change, words in [
    ({"n": 9}, r"--n \(10 there, 9 here\)"),
    ({"step": 2, "seed": 1}, r"--step \(4 there, 2 here\), --seed|--seed .* --step"),
    ({"generator": "cd"}, r"the generator's parameters \(ab there, cd here\)"),
    ({"class": 3}, r"--class \(None there, 3 here\)"),
  ]:
    with pytest.raises(UserError, match=words):
      write(out, RECORD | change)
    assert content(out) == before


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_beginning_is_refused_and_stays(tmp_path, form):
  out = tmp_path / form
  folder = out if form == "pictures" else tmp_path / "samples.npz.partial"

  def refused(words):
    before = content(out)
    with pytest.raises(UserError, match=words):
      write(out)
    assert content(out) == before

  write(out)
  refused("exists")
  out.rename(tmp_path / "elsewhere")
  out.write_bytes(b"mine")
  refused("exists")
  out.unlink()
  out.symlink_to(tmp_path / "elsewhere")
  refused("exists")
  out.unlink()
  folder.mkdir()
  (folder / "thesis.tex").write_text("mine")
  refused("exists|holds something else")
  (folder / "begun.json").write_text(json.dumps(RECORD))
  refused("thesis.tex is none of the samples")
  (folder / "thesis.tex").unlink()
  (folder / "begun.json").write_text("mine")
  refused("begun.json: damaged")
  (folder / "begun.json").write_text(json.dumps(RECORD))
  if form == "samples.npz":  # While it was drawn, a file of others got its name.
    out.write_bytes(b"mine")
    refused("exists")
    out.unlink()
    (folder / "000000.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"000000\.npy: damaged: remove it"):
      write(out)
    (folder / "000000.npy").unlink()
  write(out)
  shutil.rmtree(folder, ignore_errors=True)


def test_of_many_samples_a_few_are_in_memory(tmp_path):
  """A batch of 1 MB, of which there are 20: less than seven at once, in either form."""
  images = np.zeros((4, 512, 512, 1), np.uint8)
  for form in FORMS:
    tracemalloc.start()
    drawing.write_samples(tmp_path / form, lambda start: (images.copy() for _ in range(20)), 80, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 7 * images.nbytes
