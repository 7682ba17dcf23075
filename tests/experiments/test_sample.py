"""Samples from a checkpoint, in every form."""

import numpy as np
import pytest
from helpers.attacking import contents
from helpers.launching import copy_run, draw
from PIL import Image

from experiments.host import files


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return copy_run(tmp_path_factory.mktemp("run") / "run", "--steps=4")


def drawn(run, out, *arguments):
  assert draw(run, f"--out={out}", *arguments) == 0
  with np.load(out) as archive:
    return archive["images"]


def test_grid_beside_the_run(run):
  assert draw(run, "--n=9") == 0
  assert draw(run, "--n=9") == 0  # The same picture again is no loss.
  with Image.open(run / "samples-step4-seed0-n9.png") as image:
    assert np.asarray(image).std() > 1


def test_npz_is_seeded_and_a_prefix_of_more(run, tmp_path):
  images = drawn(run, tmp_path / "a.npz", "--n=5")
  assert images.shape == (5, 28, 28, 1)
  assert images.dtype == np.uint8
  more = drawn(run, tmp_path / "b.npz", "--n=501")
  np.testing.assert_array_equal(images, more[:5])
  assert not (more[0] == more[500]).all()
  other = drawn(run, tmp_path / "c.npz", "--n=5", "--seed=1")
  assert not (images == other).all()
  earlier = drawn(run, tmp_path / "d.npz", "--n=5", "--step=2")
  assert not (images == earlier).all()


def test_either_generator_draws(tmp_path):
  averaged = copy_run(tmp_path / "run", "--steps=4", "--ema_half_life=8")
  images = [drawn(averaged, tmp_path / f"a{n}.npz", "--n=5", f"--{n}averaged") for n in ("", "no")]
  assert not (images[0] == images[1]).all()
  assert draw(averaged, "--n=9", "--noaveraged") == 0
  assert (averaged / "samples-current-step4-seed0-n9.png").exists()


def test_a_folder_of_pngs_has_the_same_pixels(run, tmp_path):
  images = drawn(run, tmp_path / "a.npz", "--n=3")
  assert draw(run, "--n=3", f"--out={tmp_path / 'pngs'}") == 0
  files = sorted((tmp_path / "pngs").iterdir())
  assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
  for file, image in zip(files, images, strict=True):
    with Image.open(file) as read:
      np.testing.assert_array_equal(np.asarray(read), image[..., 0])


@pytest.mark.parametrize("form", ["a.npz", "pictures"])
def test_stopped_in_the_second_batch_it_goes_on_to_the_same_bytes(
  run, tmp_path, monkeypatch, capsys, form
):
  arguments = ("--n=501", f"--out={tmp_path}/{{}}/{form}")
  assert draw(run, *(each.format("whole") for each in arguments)) == 0
  arguments = [each.format("stopped") for each in arguments]
  write = files.write_bytes

  def stop(path, content):
    if path.name in ("000500.png", "000001.npy"):
      raise KeyboardInterrupt
    write(path, content)

  monkeypatch.setattr(files, "write_bytes", stop)
  assert draw(run, *arguments) == 130
  monkeypatch.undo()
  for changes, named in [
    (["--n=500"], "--n (501 there, 500 here)"),
    (["--seed=1"], "--seed (0 there, 1 here)"),
    (["--step=2"], "--step (4 there, 2 here), the generator's parameters"),
  ]:
    assert draw(run, *arguments, *changes) == 2
    assert named in capsys.readouterr().err
  assert draw(run, *arguments) == 0
  assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
  assert len(contents(tmp_path / "whole")) == (1 if form == "a.npz" else 502)
  assert draw(run, *arguments) == 2
  assert "exists" in capsys.readouterr().err


def test_errors_are_one_line(run, tmp_path, capsys):
  taken = tmp_path / "taken.npz"
  taken.write_bytes(b"mine")
  for workdir, arguments, named in [
    (run, ["--n=0"], "--n"),
    (run, ["--step=3"], "--step=3 has no checkpoint; there are 2, 4"),
    (run, ["--n=9999"], "--n=9999 is too many for one picture"),
    (run, [f"--out={taken}"], "exists"),
    (run, [f"--out={tmp_path / 'a.jpg'}"], "ends in .jpg"),
    (run, ["--out="], "--out= is empty"),
    (run, ["--noaveraged"], "--averaged does nothing with a run without --ema_half_life"),
    (run, [f"--out={tmp_path}/{'a' * 300}.npz"], "File name too long"),
    (run, [f"--out={taken}/below/out.npz"], "cannot be written"),
    (tmp_path / "nowhere", [], "holds no run"),
  ]:
    assert draw(workdir, *arguments) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
  assert taken.read_bytes() == b"mine"
  assert not (tmp_path / "nowhere").exists()
