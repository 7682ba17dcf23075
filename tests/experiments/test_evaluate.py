"""`experiments.evaluate`: all measures of a checkpoint, or of samples from elsewhere."""

import functools
import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.launching import copy_run, draw, launch, train
from jax import export
from PIL import Image

from experiments import evaluate, toy
from experiments.measures import classifiers
from experiments.measures.classifiers import Classifier
from experiments.spec.networks import ARCHITECTURES
from wgan_jax.data.images import load_images
from wgan_jax.data.toy import load_toy


@pytest.fixture(scope="module", autouse=True)
def _random_classifier(tmp_path_factory):
  """A classifier that was never trained: how good it gets is tested elsewhere."""

  def draw_params(images):
    train = functools.partial(
      classifiers.classifier.train_classifier, n_classes=images.n_classes, n_steps=2
    )
    shapes = jax.eval_shape(train, jax.random.key(0), images.train_images, images.train_labels)
    rng = np.random.default_rng(0)

    def draw_leaf(leaf):
      spread = np.sqrt(2 / np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0
      return np.float32(spread * rng.normal(size=leaf.shape))

    return jax.tree.map(draw_leaf, shapes)

  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    patch.setattr(classifiers, "_train", lambda images: Classifier(draw_params(images), 0.1))
    yield


def measured(out):
  return json.loads((out / "evaluation.json").read_text())


def of_file(path, out, *arguments):
  return launch(evaluate, f"--samples={path}", f"--out={out}", *arguments)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return copy_run(tmp_path_factory.mktemp("run") / "run", "--steps=4")


def test_a_run_of_images(run, capsys):
  assert launch(evaluate, f"--workdir={run}", "--n=64") == 0
  record = measured(run)
  assert set(record["samples"]) == set(record["training_data"])
  names = {"exact_wasserstein", "sliced_wasserstein", "n_classes", "class_kl", "frechet"}
  assert names | {"precision", "recall", "readable"} == set(record["samples"])
  assert record["samples_without_averaging"] is None
  # An untrained generator is far away; the training data are not.
  assert record["training_data"]["frechet"] < record["samples"]["frechet"]
  assert record["training_data"]["exact_wasserstein"] < record["samples"]["exact_wasserstein"]
  critic = record["critic"]
  assert critic["gradient_norm_found"] <= critic["lipschitz_bound"]
  assert critic["certified_wasserstein"] <= record["samples"]["exact_wasserstein"]
  assert len(critic["activation_gradient_norms"]) == 4
  assert critic["estimate_gap"] == pytest.approx(
    critic["held_out_wasserstein_estimate"] - record["samples"]["exact_wasserstein"]
  )
  assert record["counts"] == {
    "samples": 64,
    "training_data": 64,
    "held_out": 64,
    "distances_of_at_most": 2000,
  }
  with Image.open(run / "evaluation.png") as picture:
    assert np.asarray(picture).std() > 1
  out = capsys.readouterr().out
  assert "classifier Fréchet distance, samples to held out" in out
  assert "last update" not in out


@pytest.mark.campaign
def test_both_generators_of_a_run_with_an_average(tmp_path, capsys):
  path = copy_run(tmp_path / "run", "--steps=4", "--ema_half_life=8")
  assert launch(evaluate, f"--workdir={path}", "--n=64") == 0
  record, out = measured(path), capsys.readouterr().out
  both = record["samples"], record["samples_without_averaging"]
  assert set(both[0]) == set(both[1])
  assert both[0]["sliced_wasserstein"] != both[1]["sliced_wasserstein"]
  row = out.split("sliced distance, samples to held out")[1].split("\n")[0].split()
  values = [each["sliced_wasserstein"] for each in (*both, record["training_data"])]
  assert [float(value) for value in row] == pytest.approx(values, rel=1e-3)
  (head,) = (line for line in out.splitlines() if "last update" in line)
  assert head.split() == ["averaged", "last", "update", "training", "data"]


def test_features_of_a_user_s_own_stand_beside_the_others(tmp_path, capsys):
  """A function of both generators' samples; then, of the same samples, features of a file."""
  path = copy_run(tmp_path / "run", "--steps=4", "--ema_half_life=8")
  images = jax.ShapeDtypeStruct((16, 28, 28, 1), jnp.float32)
  function = export.export(jax.jit(lambda images: images.mean((2, 3))))(images)
  (tmp_path / "own.bin").write_bytes(function.serialize())
  rng = np.random.default_rng(0)
  np.savez(tmp_path / "own.npz", samples=rng.normal(size=(9, 3)), data=rng.normal(size=(8, 3)))
  for name in ("own.bin", "own.npz"):
    file = tmp_path / name
    arguments = ("--n=64", f"--features={file}", f"--out={tmp_path / 'out'}")
    assert launch(evaluate, f"--workdir={path}", *arguments) == 0
    record, out = measured(tmp_path / "out"), capsys.readouterr().out
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (record["features"]["file"], record["features"]["sha256"]) == (name, sha256)
    row = f"frechet_{sha256[:8]}"
    columns = ("samples", "samples_without_averaging", "training_data")
    values = [record[column].get(row) for column in columns]
    title = f"Fréchet distance to held out in the features of {name} (sha256 {sha256[:8]})"
    words = out.split(title)[1].split("\n")[0].split()
    assert words == ["-" if value is None else f"{value:.4g}" for value in values]
    assert [value is None for value in values] == [False, *[name == "own.npz"] * 2]
    assert "frechet" in record["samples"]
  file.write_bytes(b"text")
  assert launch(evaluate, f"--workdir={path}", *arguments) == 2
  assert f"error: --features={file} is damaged" in capsys.readouterr().err


def test_files_are_written_before_the_table(run, tmp_path, monkeypatch):
  """What took minutes is not lost to a terminal that fails."""

  def fail(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(evaluate, "_print_table", fail)
  assert launch(evaluate, f"--workdir={run}", "--n=64", f"--out={tmp_path}") == 130
  assert {child.name for child in tmp_path.iterdir()} == {"evaluation.json", "evaluation.png"}


def test_a_folder_holds_one_evaluation(tmp_path, capsys):
  """The same command writes it again; that of other samples is not overwritten."""
  for name in ("a", "b"):
    np.savez(tmp_path / f"{name}.npz", points=np.full((8, 2), float(ord(name))))
  out = tmp_path / "out"
  assert of_file(tmp_path / "a.npz", out, "--dataset=ring") == 0
  assert of_file(tmp_path / "a.npz", out, "--dataset=ring") == 0
  before = (out / "evaluation.json").read_bytes()
  assert of_file(tmp_path / "b.npz", out, "--dataset=ring") == 2
  assert "evaluation.json is of other samples" in capsys.readouterr().err
  assert of_file(tmp_path / "a.npz", out, "--dataset=ring", "--seed=1") == 2
  (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes())
  assert of_file(tmp_path / "b.npz", out, "--dataset=ring") == 0
  capsys.readouterr()
  for content, words in [("mine", "damaged"), ("[]", "damaged"), ("{}", "of other samples")]:
    (out / "evaluation.json").write_text(content)
    assert of_file(tmp_path / "a.npz", out, "--dataset=ring") == 2
    assert words in capsys.readouterr().err
  (out / "evaluation.json").unlink()
  assert of_file(tmp_path / "a.npz", out, "--dataset=ring") == 2  # Whose picture?
  assert json.loads(before)["title"] == "a.npz"


@pytest.mark.campaign
def test_another_step_is_measured_and_the_folder_is_still_a_run(run, tmp_path):
  out = tmp_path / "two"
  assert launch(evaluate, f"--workdir={run}", "--n=64", "--step=2", f"--out={out}") == 0
  assert measured(out)["title"] == "run, step 2"
  assert train(run, "--steps=4") == 0


@pytest.mark.campaign
def test_lines_of_images_hold_slow_measures(tmp_path):
  run = tmp_path / "run"
  assert train(run, "--steps=4", "--penalty=clip", "--exact_every=3") == 0
  lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
  slow = {"frechet", "n_classes", "exact_wasserstein", "certified_wasserstein"}
  assert [(line["step"], slow <= set(line)) for line in lines] == [(3, True), (4, False)]


def test_what_was_sampled_is_measured_from_the_file(run, tmp_path):
  assert draw(run, "--n=40", f"--out={tmp_path}/samples.npz") == 0
  assert of_file(tmp_path / "samples.npz", tmp_path / "out", "--dataset=digits") == 0
  record = measured(tmp_path / "out")
  assert record["critic"] == {}
  assert record["samples"]["exact_wasserstein"] > 1


def test_real_test_images_score_the_floor(tmp_path):
  images = load_images("digits").test_images
  np.savez(tmp_path / "real.npz", images=images)
  assert of_file(tmp_path / "real.npz", tmp_path / "out", "--dataset=digits") == 0
  values = measured(tmp_path / "out")["samples"]
  assert values["frechet"] == pytest.approx(0, abs=1e-3)
  assert values["exact_wasserstein"] == pytest.approx(0, abs=1e-5)
  assert values["precision"] == values["recall"] == 1


def test_points_of_a_perfect_sampler(tmp_path):
  ring = load_toy("ring")
  points = ring.sample_real(jax.random.key(9), ring.data, 2500)
  np.savez(tmp_path / "points.npz", points=points)
  assert of_file(tmp_path / "points.npz", tmp_path / "out", "--dataset=ring") == 0
  values = measured(tmp_path / "out")["samples"]
  assert values["n_modes"] == 8
  assert abs(values["high_quality"] - 0.98889) < 3 * np.sqrt(0.98889 * 0.01111 / 2500)
  assert values["reverse_kl"] < 0.01
  assert (tmp_path / "out" / "evaluation.png").exists()


@pytest.mark.campaign
def test_a_run_of_points(tmp_path):
  run = tmp_path / "run"
  arguments = ["--dataset=two_gaussians", "--steps=1", "--width=4", "--depth=1", "--penalty=clip"]
  assert launch(toy, *arguments, f"--workdir={run}") == 0
  assert launch(evaluate, f"--workdir={run}", "--n=100") == 0
  critic = measured(run)["critic"]
  assert {"gradient_cosine", "true_wasserstein", "gradient_norm_max"} <= set(critic)
  assert 0 <= critic["clipped_share"] <= 1


def test_bad_samples_are_one_line(tmp_path, capsys):
  ok = np.zeros((4, 28, 28, 1), np.float32)
  files = {
    "nan": {"images": np.where(np.arange(4)[:, None, None, None] == 1, np.nan, ok)},
    "range": {"images": ok + 200},
    "huge": {"images": np.full((4, 28, 28, 1), 1e200)},
    "one": {"images": ok[:1]},
    "empty": {"images": ok[:0]},
    "shape": {"images": ok[:, :20]},
    "int": {"images": ok.astype(np.int64)},
    "name": {"pictures": ok},
  }
  for name, arrays in files.items():
    np.savez(tmp_path / f"{name}.npz", **arrays)
  (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 and no more")
  for name, message in [
    ("nan", "hold NaN or infinity"),
    ("range", "floats from 200 to 200: scale images to [-1, 1], or give uint8"),
    ("one", "1 samples are too few: give at least 4"),
    ("huge", "hold NaN or infinity"),
    ("empty", "0 samples are too few"),
    ("shape", "images are (4, 20, 28, 1), of digits they are (n, 28, 28, 1)"),
    ("int", "images are int64"),
    ("name", "holds no array 'images'"),
    ("damaged", "is damaged, or no .npz"),
    ("nowhere", "cannot be read (No such file or directory)"),
  ]:
    path = tmp_path / f"{name}.npz"
    assert of_file(path, tmp_path / "out", "--dataset=digits") == 2
    error = capsys.readouterr().err
    assert message in error, error
    assert f"--samples={path}" in error
    assert error.count("\n") == 1
  assert not (tmp_path / "out").exists()
  np.savez(tmp_path / "good.npz", images=ok)
  assert of_file(tmp_path / "good.npz", tmp_path / "nan.npz", "--dataset=digits") == 2
  assert "nan.npz cannot be written (File exists): name a folder" in capsys.readouterr().err


def test_flags_that_do_nothing_are_refused(tmp_path, capsys):
  for arguments, message in [
    ([], "name either a run with --workdir, or a file with --samples"),
    ([f"--workdir={tmp_path}", "--samples=a.npz"], "name either"),
    ([f"--workdir={tmp_path}", "--dataset=ring"], "--dataset does nothing with --workdir"),
    (["--samples=a.npz", "--n=5", "--dataset=ring", "--out=b"], "--n does nothing with --samples"),
    (["--samples=a.npz"], "--samples needs --dataset"),
    (
      ["--samples=a.npz", "--dataset=ring", "--out=b", "--n_funnels=7"],
      "--n_funnels does nothing with --dataset=ring",
    ),
    (
      ["--samples=a.npz", "--dataset=ring", "--out=b", "--data_dir=c"],
      "--data_dir does nothing with ring",
    ),
    ([f"--workdir={tmp_path}"], "holds no run"),
    (["--workdir="], "--workdir= is empty"),
  ]:
    assert launch(evaluate, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.campaign
def test_a_critic_that_does_not_list_its_layers_is_trained_and_measured(tmp_path, monkeypatch):
  row = ARCHITECTURES["mlp"]

  def make(*args, **size):
    pair = row.make(*args, **size)
    return pair._replace(critic=pair.critic._replace(layers=None))

  monkeypatch.setitem(ARCHITECTURES, "mlp", row._replace(make=make))
  path = tmp_path / "run"
  size = ("--width=4", "--depth=1", "--batch_size=4", "--steps=1", "--log_every=1")
  assert launch(toy, f"--workdir={path}", *size, "--slow_every=1") == 0
  assert launch(evaluate, f"--workdir={path}", "--n=16") == 0
  critic = measured(path)["critic"]
  assert "gradient_norm_found" in critic
  assert not {"certified_wasserstein", "activation_gradient_norms"} & set(critic)
