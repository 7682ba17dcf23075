"""The launcher end to end: what a run writes, resumes, refuses and survives."""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from helpers.launching import TINY, copy_run, final_state, launch, results, train
from PIL import Image

from experiments import mnist
from experiments.host import checkpoints
from experiments.host.files import read_lines
from experiments.spec import datasets, reading
from wgan_jax.data.images import is_prepared

ROOT = pathlib.Path(mnist.__file__).parents[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """An uninterrupted run of 10 steps; to be read only."""
  workdir = tmp_path_factory.mktemp("finished") / "run"
  assert train(workdir, "--steps=10") == 0
  return workdir


def test_a_run_writes_what_it_says(finished):
  config = json.loads((finished / "config.json").read_text())
  assert config["settings"]["dataset"] == "digits"
  assert config["settings"]["learning_rate"] == 2e-4
  assert config["flags"]["steps"] == 10
  assert config["environment"]["threads"] >= 1
  rows = read_lines(finished / "metrics.jsonl")
  assert [row["step"] for row in rows] == [3, 6, 9, 10]
  assert set(rows[0]) == {
    "step",
    "wasserstein_estimate",
    "held_out_wasserstein_estimate",
    "sliced_wasserstein",
    "gradient_penalty",
    "gradient_norm_mean",
    "gradient_norm_max",
    "critic_loss",
    "generator_loss",
  }
  assert "steps_per_second" in read_lines(finished / "timing.jsonl")[0]
  pictures = sorted(path.name for path in (finished / "samples").iterdir())
  assert pictures == ["step_000007.png", "step_000010.png"]
  for picture in [finished / "curves.png", *(finished / "samples").iterdir()]:
    with Image.open(picture) as image:
      assert np.asarray(image).std() > 1
  assert checkpoints.steps(finished / "checkpoints") == [6, 8, 10]
  summary = json.loads((finished / "summary.json").read_text())
  assert summary["status"] == "finished"
  assert summary["last"] == rows[-1]


# Each script trains until SIGKILL strikes at one fixed point.
_KILLED = """
import os, pathlib, sys
sys.path[:0] = sys.argv[1:3]
import jax
from experiments.host import checkpoints
from helpers.launching import train

def strike(*arguments, **options):
  os.kill(os.getpid(), 9)

{patch}
train(pathlib.Path(sys.argv[3]), "--steps=10", *sys.argv[4:])
"""
# What else is in a state, and falls with the steps.
_AVERAGED = ("--ema_half_life=16", "--schedule=cosine", "--critic_learning_rate=4e-4")
_STRIKES = {
  "in_the_first_file": "os.replace = strike",
  # orbax has written its files under another name, and renames the folder.
  "before_the_first_rename": """
rename = os.rename
def strike_orbax(source, *arguments, **options):
  if "orbax" in str(source):
    strike()
  rename(source, *arguments, **options)
os.rename = strike_orbax
""",
  # The folder has its name; its digests are missing.
  "between_rename_and_digests": "checkpoints.write_json = strike",
  # The later ones find checkpoints, and strike while the device computes, or once more in saving.
  "in_a_chunk": "jax.device_get = strike",
  "in_a_later_save": """
save = checkpoints.save
def later(directory, checkpoint):
  if int(checkpoint.state.step) >= 6:
    checkpoints.write_json = strike
  save(directory, checkpoint)
checkpoints.save = later
""",
  "in_a_later_chunk": """
get = jax.device_get
def later(info):
  if checkpoints.steps(pathlib.Path(sys.argv[3]) / "checkpoints")[-1:] == [6]:
    strike()
  return get(info)
jax.device_get = later
""",
}


# By strike: the whole checkpoints, and all folders: what was cut short is there and does not count.
_LEFT = {
  "in_the_first_file": ([], 0),
  "before_the_first_rename": ([], 1),
  "between_rename_and_digests": ([], 1),
  "in_a_chunk": ([], 0),
  "in_a_later_save": ([2, 4], 3),
  "in_a_later_chunk": ([2, 4, 6], 3),
}


@pytest.mark.campaign
def test_killed_and_resumed_equals_uninterrupted(tmp_path):
  """SIGKILL, six times in the life of one run: byte for byte what it would have been."""
  workdir = tmp_path / "run"
  for name, patch in _STRIKES.items():
    script = _KILLED.format(patch=patch)
    ended = subprocess.run(
      [sys.executable, "-c", script, str(ROOT), str(ROOT / "tests"), workdir, *_AVERAGED],
      env=os.environ
      | {
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
      },
      check=False,
      capture_output=True,
    )
    assert ended.returncode == -signal.SIGKILL, (name, ended.stderr.decode())
    directory = workdir / "checkpoints"
    assert (checkpoints.steps(directory), len(list(directory.glob("*")))) == _LEFT[name]
  # What a kill in the middle of a line leaves.
  with (workdir / "metrics.jsonl").open("a") as file:
    file.write('{"step": 9, "wasserst')
  assert train(workdir, "--steps=10", *_AVERAGED) == 0
  uninterrupted = copy_run(tmp_path / "uninterrupted", "--steps=10", *_AVERAGED)
  assert results(workdir) == results(uninterrupted)
  assert final_state(workdir) == final_state(uninterrupted)


def test_other_images_of_the_same_name_are_refused(finished, monkeypatch, capsys):
  changed = datasets.load_cached_images("digits")
  changed.train_images[0, 5, 5] ^= 1
  monkeypatch.setattr(datasets, "load_cached_images", lambda name, data_dir: changed)
  assert train(finished, "--steps=12") == 2
  assert "other data of the same name" in capsys.readouterr().err


def test_a_folder_with_another_run_is_refused_by_the_flags_that_differ(finished, capsys):
  before = results(finished)
  assert train(finished, "--steps=12", "--penalty=clip", "--seed=1") == 2
  error = capsys.readouterr().err
  assert error.startswith("error: --workdir=")
  for words in ("--penalty (gp there, clip here)", "--seed (0 there, 1 here)", "--clip_value"):
    assert words in error
  assert "--width" not in error
  assert results(finished) == before


@pytest.mark.parametrize(
  ("method", "named"),
  [
    (["--loss=nonsaturating", "--penalty=none"], "jensen_shannon_estimate"),
    *[
      pytest.param(*case, marks=pytest.mark.campaign)
      for case in [
        (["--penalty=clip", "--width=32"], "wasserstein_estimate"),
        (["--penalty=none"], "wasserstein_estimate"),
        (["--penalty=gp_one_sided"], "wasserstein_estimate"),
        (["--loss=minimax", "--penalty=none", "--architecture=dcgan"], "jensen_shannon_estimate"),
      ]
    ],
  ],
  ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_methods(tmp_path, capsys, method, named):
  assert train(tmp_path / "run", "--steps=3", *method) == 0
  (row,) = read_lines(tmp_path / "run" / "metrics.jsonl")
  assert row["gradient_norm_max"] >= row["gradient_norm_mean"] > 0
  assert np.isfinite([row[named], row[f"held_out_{named}"], row["critic_loss"]]).all()
  assert ("gradient_penalty" in row) == ("gp" in method[0])
  if named == "jensen_shannon_estimate":
    expected = (2 * np.log(2) - row["critic_loss"]) / 2
    np.testing.assert_allclose(row[named], expected, rtol=1e-4, atol=1e-6)
  advised_against = {"--penalty=none", "--loss=minimax"} & set(method)
  advised_against -= {"--penalty=none"} if named == "jensen_shannon_estimate" else set()
  assert ("note: " in capsys.readouterr().out) == bool(advised_against)


BAD = [
  (["--penalty=spectral"], "--penalty"),
  (["--loss=vae"], "--loss"),
  (["--dataset=cifar"], "--dataset"),
  (["--architecture=vgg"], "--architecture"),
  (["--optimizer=sgd"], "--optimizer"),
  (["--steps=0"], "--steps"),
  (["--steps=-5"], "--steps"),
  (["--steps=ten"], "--steps"),
  (["--steps=1e12"], "--steps"),
  (["--seed=-1"], "--seed"),
  (["--width=0"], "--width"),
  (["--width=1000000"], "--width"),
  (["--latent_dim=0"], "--latent_dim"),
  (["--batch_size=0"], "--batch_size"),
  (["--n_critic=0"], "--n_critic"),
  (["--lambda_gp=-1"], "--lambda_gp"),
  (["--lambda_gp=nan"], "--lambda_gp"),
  (["--penalty=clip", "--clip_value=0"], "--clip_value"),
  (["--learning_rate=nan"], "--learning_rate"),
  (["--learning_rate=inf"], "--learning_rate"),
  (["--learning_rate=0"], "--learning_rate"),
  (["--beta1=1"], "--beta1"),
  (["--beta2=-0.1"], "--beta2"),
  (["--log_every=0"], "--log_every"),
  (["--sample_every=0"], "--sample_every"),
  (["--checkpoint_every=0"], "--checkpoint_every"),
  (["--clip_value=0.1"], "--clip_value"),
  (["--penalty=clip", "--lambda_gp=1"], "--lambda_gp"),
  (["--penalty=clip", "--beta1=0.5"], "--beta1"),
  (["--optimizer=rmsprop", "--beta1=0.5"], "--beta1"),
  (["--data_dir=/nowhere"], "--data_dir"),
  (["--dataset=mnist", "--data_dir=/nowhere"], "data_dir"),
  (["--no_such_flag=1"], "no_such_flag"),
  (["stray"], "stray"),
]


@pytest.mark.parametrize(
  ("arguments", "named"), BAD, ids=lambda v: v if isinstance(v, str) else " ".join(v)
)
def test_bad_flags_end_with_one_line(tmp_path, capsys, arguments, named):
  assert train(tmp_path / "run", *arguments) == 2
  error = capsys.readouterr().err
  assert error.startswith("error: ")
  assert error.count("\n") == 1
  assert named in error
  assert not (tmp_path / "run").exists()


def test_workdirs_that_cannot_be_used(tmp_path, capsys):
  file, other, damaged = tmp_path / "file", tmp_path / "other", tmp_path / "damaged"
  file.write_text("mine")
  other.mkdir()
  (other / "thesis.tex").write_text("mine")
  damaged.mkdir()
  (damaged / "config.json").write_text("{")
  changed = tmp_path / "changed"
  changed.mkdir()
  (changed / "config.json").write_text('{"format": 2, "settings": {"loss": "hinge"}}')
  for workdir, words in [
    (file, "is a file"),
    (other, "other files"),
    (damaged, "damaged"),
    (changed, "of another version"),
    (file / "run", "cannot be written"),
    (tmp_path / ("a" * 300), "File name too long"),
    ("", "--workdir= is empty"),
  ]:
    assert train(workdir, "--steps=2") == 2
    error = capsys.readouterr().err
    assert str(workdir) in error
    assert words in error, error
    assert error.count("\n") == 1
  assert file.read_text() == "mine"
  assert [path.name for path in other.iterdir()] == ["thesis.tex"]


def test_one_process_at_a_time(tmp_path, capsys, finished):
  import fcntl

  with (finished / ".lock").open() as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert train(finished, "--steps=12") == 2
  assert "in use by another process" in capsys.readouterr().err


def test_auto_without_network_warns_and_names_the_digits(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(reading, "resolve_auto", lambda data_dir: "digits")
  monkeypatch.chdir(tmp_path)
  tiny = [argument for argument in TINY if not argument.startswith("--dataset")]
  assert launch(mnist, *tiny, "--steps=2", "--seed=3") == 0
  (workdir,) = (tmp_path / "runs").iterdir()
  assert workdir.name == (
    "digits-wasserstein-gp-seed3-architecture_mlp-width4-latent_dim2-batch_size4-n_critic1"
  )
  printed = capsys.readouterr()
  assert "warning: no MNIST here that could be read or downloaded" in printed.err
  assert "digits: 1500 training images, 297 held out" in printed.out

  # A run keeps the data set it has, whatever auto would choose by now.
  monkeypatch.setattr(reading, "resolve_auto", lambda data_dir: "mnist")
  assert train(workdir, "--dataset=auto", "--steps=3", "--seed=3") == 0
  assert launch(mnist, *tiny, "--steps=4", "--seed=3") == 0
  assert list((tmp_path / "runs").iterdir()) == [workdir]


def test_tensorboard_events(tmp_path):
  pytest.importorskip("tensorboardX")
  assert train(tmp_path / "run", "--steps=4", "--tensorboard") == 0
  (events,) = (tmp_path / "run" / "tensorboard").iterdir()
  assert b"wasserstein_estimate" in events.read_bytes()
  assert b"samples" in events.read_bytes()


def test_tensorboard_missing_says_what_to_install(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  assert train(tmp_path / "run", "--steps=4", "--tensorboard") == 2
  assert "--tensorboard needs tensorboardX" in capsys.readouterr().err
  assert not (tmp_path / "run").exists()


@pytest.mark.campaign
@pytest.mark.parametrize("dataset", ["mnist", "stacked_mnist"])
def test_real_mnist(dataset, tmp_path, capsys):
  data_dir = os.environ.get("TFDS_DATA_DIR")
  if not data_dir or not os.path.isdir(data_dir) or not is_prepared("mnist", data_dir):
    pytest.skip("TFDS_DATA_DIR holds no prepared MNIST")
  assert train(tmp_path / "run", f"--dataset={dataset}", f"--data_dir={data_dir}", "--steps=2") == 0
  assert f"{dataset}: 60000 training images, 10000 held out" in capsys.readouterr().out
  config = json.loads((tmp_path / "run" / "config.json").read_text())
  assert config["settings"]["dataset"] == dataset
  with Image.open(tmp_path / "run" / "samples" / "step_000002.png") as picture:
    pixels = np.asarray(picture)[30:, :, :3].astype(int)  # Below the title.
  assert (pixels.std(axis=2).max() > 0) == (dataset == "stacked_mnist")
