"""Folders of images end to end: what is trained, streamed, resumed, drawn and refused."""

import json
import shutil

import numpy as np
import pytest
from helpers.launching import draw, final_state, launch, results
from PIL import Image

from experiments import evaluate, images, sweep
from experiments.host.files import read_lines
from experiments.spec.datasets import load_dataset

SMALL = (
  "--size=16,20", "--width=2", "--latent_dim=4", "--batch_size=4", "--n_critic=1",
  "--log_every=3", "--sample_every=7", "--checkpoint_every=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """40 images of several kinds in two subfolders; the second class is bright."""
  root = tmp_path_factory.mktemp("folder") / "cats and dogs"
  rng = np.random.default_rng(0)
  for i in range(40):
    path = root / ("cat" if i % 2 else "dog") / f"{i}.{'jpg' if i % 5 else 'png'}"
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 60, (24 + i % 3, 30, 3)) + 180 * (i % 2)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
  return root


def train(folder, workdir, *arguments):
  return launch(images, *SMALL, f"--folder={folder}", f"--workdir={workdir}", *arguments)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
  """A finished conditional run in windows; to be read only."""
  workdir = tmp_path_factory.mktemp("run") / "run"
  assert train(folder, workdir, "--conditional=projection", "--window=12", "--steps=8") == 0
  return workdir


def refused(capsys, *arguments, status=2):
  """The one line with which `images` refuses."""
  capsys.readouterr()
  assert launch(images, *SMALL, *arguments) == status
  (line,) = capsys.readouterr().err.splitlines()
  return line


def test_a_folder_trains_and_says_what_it_took_from_the_files(run, folder):
  config = json.loads((run / "config.json").read_text())
  settings = config["settings"]
  assert (settings["dataset"], settings["folder"]) == ("folder", str(folder))
  assert (settings["size"], settings["channels"], settings["n_classes"]) == ("16x20", 3, 2)
  assert config["classes"] == ["cat", "dog"]
  with Image.open(run / "samples" / "step_000008.png") as picture:
    assert np.asarray(picture).std() > 1
  assert [row["step"] for row in read_lines(run / "metrics.jsonl")] == [3, 6, 8]


@pytest.mark.campaign
def test_a_resumed_run_has_the_windows_of_one_that_never_stopped(run, folder, tmp_path):
  options = ("--conditional=projection", "--window=12")
  # 12 images are three steps: a start in the middle of a window, and one at its end.
  for steps in (2, 3, 7, 8):
    assert train(folder, tmp_path / "run", *options, f"--steps={steps}") == 0
  assert final_state(tmp_path / "run") == final_state(run)
  lines = results(tmp_path / "run")
  assert {name: lines[name] for name in results(run)} == results(run)


@pytest.mark.campaign
def test_a_member_of_a_sweep_has_the_windows_of_the_run_alone(run, folder, tmp_path):
  options = ["--conditional=projection", "--window=12", "--steps=8", "--seeds=2"]
  options += [f"--folder={folder}", f"--workdir={tmp_path}", "--members_at_once=2"]
  small = [each for each in SMALL if not each.startswith("--sample")]
  assert launch(sweep, *small, *options, "--architecture=dcgan", "--batching=map") == 0
  (member,) = (tmp_path / "members").glob("*-seed0-*")
  assert json.loads((member / "config.json").read_text())["classes"] == ["cat", "dog"]
  assert final_state(member)[1] == final_state(run)[1]


def test_every_image_is_drawn_from_a_window_of_all(folder):
  options = {"folder": str(folder), "size": "16x20", "channels": 1, "n_classes": 2}
  whole = load_dataset("folder", **options)
  n = len(whole.train)
  windows = load_dataset("folder", **options, window=n).windows
  assert windows.n == n
  np.testing.assert_array_equal(
    np.sort(windows.draw(1).reshape(n, -1).sum(1, dtype=int)),
    np.sort(whole.train.reshape(n, -1).sum(1, dtype=int)),
  )
  assert whole.sample_shape == (16, 20, 1)


def test_a_class_is_drawn_by_name_or_number(run, tmp_path, capsys):
  arrays = {}
  for name in ("cat", "0", "dog"):
    out = tmp_path / f"{name}.npz"
    assert draw(run, "--n=5", f"--class={name}", f"--out={out}") == 0
    with np.load(out) as file:
      arrays[name], labels = file["images"], file["labels"]
    assert labels.tolist() == [int(name == "dog")] * 5
  np.testing.assert_array_equal(arrays["cat"], arrays["0"])
  assert (arrays["cat"] != arrays["dog"]).any()
  assert draw(run, "--n=5", f"--out={tmp_path / 'all.npz'}") == 0
  with np.load(tmp_path / "all.npz") as file:
    np.testing.assert_array_equal(file["labels"], [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(file["images"][0], arrays["cat"][0])
    np.testing.assert_array_equal(file["images"][1], arrays["dog"][1])
  capsys.readouterr()
  assert draw(run, "--class=bird") == 2
  assert capsys.readouterr().err == "error: --class=bird is none of 0 to 1, nor of cat, dog\n"


@pytest.mark.campaign
def test_the_share_of_the_class_asked_for_has_a_ceiling(run, tmp_path, capsys):
  copy = shutil.copytree(run, tmp_path / "run")
  assert launch(evaluate, f"--workdir={copy}", "--n=40") == 0
  record = json.loads((copy / "evaluation.json").read_text())
  assert 0 <= record["samples"]["class_agreement"] <= 1
  assert record["training_data"]["class_agreement"] > 0.9
  assert "share of samples of the class asked for" in capsys.readouterr().out


@pytest.mark.campaign
def test_a_file_that_changed_between_two_starts_is_named(run, folder, tmp_path, capsys):
  other = shutil.copytree(folder, tmp_path / folder.name)
  assert train(other, tmp_path / "run", "--steps=2", "--architecture=mlp") == 0
  before = results(tmp_path / "run")
  shutil.copy(other / "cat" / "11.jpg", other / "cat" / "13.jpg")
  line = refused(
    capsys, f"--folder={other}", f"--workdir={tmp_path / 'run'}", "--steps=4", "--architecture=mlp"
  )
  assert "was trained on other images: 1 changed ('cat/13.jpg')" in line
  assert results(tmp_path / "run") == before


def test_refusals_name_the_flag_or_the_file(folder, tmp_path, capsys):
  flat, lone, broken = (tmp_path / name for name in ("flat", "lone", "broken"))
  shutil.copytree(folder / "cat", flat)
  shutil.copytree(folder, lone)
  (lone / "bird").mkdir()
  shutil.copy(folder / "cat" / "1.jpg", lone / "bird")
  shutil.copytree(folder, broken)
  whole = (broken / "dog" / "0.png").read_bytes()
  (broken / "dog" / "0.png").write_bytes(whole[: len(whole) // 2])
  for arguments, words in [
    ([], "--folder is missing"),
    (["--folder="], "--folder= is empty"),
    ([f"--folder={tmp_path / 'none'}"], "does not exist"),
    ([f"--folder={flat}", "--conditional=acgan"], "has no classes"),
    ([f"--folder={lone}", "--conditional=acgan"], "class 'bird' has 1 image"),
    ([f"--folder={broken}"], "0.png"),
    ([f"--folder={folder}", "--dataset=cifar10"], "--folder does nothing with --dataset=cifar10"),
    ([f"--folder={folder}", f"--data_dir={tmp_path}"], "--data_dir does nothing with folder"),
    (["--dataset=cifar10"], "--size does nothing with --dataset=cifar10"),
    ([f"--folder={folder}", "--conditional=acgan", "--architecture=mlp"], "does nothing with mlp"),
    ([f"--folder={tmp_path}"], "would become more"),
    ([f"--folder={folder}", "--size=18", "--architecture=infogan"], "multiples of 4, not 18 x 18"),
  ]:
    line = refused(capsys, f"--workdir={tmp_path / 'run'}", *arguments)
    assert words in line, arguments
    assert not (tmp_path / "run").exists()
  arguments = ("--steps=1", "--skip_corrupt", "--architecture=mlp")
  assert train(broken, tmp_path / "run", *arguments) == 0
  assert "1 files left out" in capsys.readouterr().out
  for size in ("15", "16,129", "x", "16x", "1e2"):
    assert launch(images, f"--folder={folder}", f"--size={size}") != 0
    assert "size" in capsys.readouterr().err


@pytest.mark.campaign
def test_a_few_images_are_measured_without_a_classifier(folder, tmp_path, capsys):
  few = tmp_path / "few"
  for path in [*(folder / "cat").glob("1.*"), *(folder / "dog").glob("[02].*")]:
    (few / path.parent.name).mkdir(parents=True, exist_ok=True)
    shutil.copy(path, few / path.parent.name)
  options = ("--steps=3", "--slow_every=3", "--architecture=mlp")
  assert train(few, tmp_path / "run", *options) == 0
  assert "fewer than 4 images are held out" in capsys.readouterr().err
  (line,) = read_lines(tmp_path / "run" / "metrics.jsonl")
  assert "exact_wasserstein" in line
  assert "frechet" not in line
