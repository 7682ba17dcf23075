"""The classifiers' cache: trained once, whole or rebuilt, and never in the way."""

import concurrent.futures
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.host import cache as user_cache
from experiments.measures import classifiers
from experiments.measures.classifiers import classify_images, load_classifier
from wgan_jax.data.images import Images, load_images, to_unit
from wgan_jax.networks import classifier

classify, features = jax.jit(classifier.classify), jax.jit(classifier.features)


def make_images(name="tiny"):
  rng = np.random.default_rng(0)
  train = rng.integers(0, 256, (30, 8, 8, 1)).astype(np.uint8)
  test = rng.integers(0, 256, (20, 8, 8, 1)).astype(np.uint8)
  labels = np.arange(30, dtype=np.int32) % 10
  return Images(name, train, labels, test, labels[:20], tuple("abcdefghijkl"))


IMAGES = make_images()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  """-> the cache folder; two steps make a classifier."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  monkeypatch.setattr(classifiers, "_n_steps", lambda images: 2)
  return tmp_path / "wgan_jax" / "classifiers"


def only_file(folder):
  (path,) = folder.iterdir()
  return path


def test_trained_once_and_read_back_bit_for_bit(cache, capsys):
  trained = load_classifier(IMAGES)
  before, after = capsys.readouterr().err.splitlines()
  path = only_file(cache)
  assert before == (
    f"training the classifier of tiny, once, in about 1 min on two cores: it will be kept as {path}"
  )
  assert after == (
    f"the classifier of tiny: {trained.test_accuracy:.2%} of the test images are right"
  )
  assert trained.params["Dense_1"]["bias"].shape == (12,)  # As many as there are names.
  content = path.read_bytes()
  read = load_classifier(IMAGES)
  assert capsys.readouterr() == ("", "")
  chex.assert_trees_all_equal(read, trained)
  chex.assert_trees_all_equal_dtypes(read.params, trained.params)
  assert isinstance(read.test_accuracy, float)
  assert only_file(cache).read_bytes() == content


def test_the_accuracy_is_that_of_the_test_images():
  params, accuracy = load_classifier(IMAGES)
  right = classify(params, to_unit(IMAGES.test_images)).argmax(1) == IMAGES.test_labels
  assert accuracy == pytest.approx(float(right.mean()))
  labels = np.argmax(classify(params, to_unit(IMAGES.test_images)), 1).astype(np.int32)
  assert load_classifier(IMAGES._replace(test_labels=labels)).test_accuracy == 1


def test_what_makes_the_classifier_names_its_file(cache, monkeypatch):
  """A pixel, a label, the recipe, a package, the code: each another file; the same: the same."""

  def flip(x):
    x = x.copy()
    x.flat[-1] ^= 1
    return x

  names = [classifiers._digest(IMAGES), *(
    classifiers._digest(IMAGES._replace(**{field: flip(getattr(IMAGES, field))}))
    for field in IMAGES._fields[1:5]
  )]  # fmt: skip
  swapped = IMAGES._replace(train_images=IMAGES.train_images.transpose(0, 2, 1, 3))
  names.append(classifiers._digest(swapped))
  names.append(classifiers._digest(IMAGES._replace(classes=tuple("0123456789"))))
  for module, name, value in [
    (classifiers, "_SEED", 1),
    (classifiers, "_n_steps", lambda images: 3),
    (classifiers.metadata, "version", lambda name: "0"),
    (classifiers, "_CODE", "other"),
  ]:
    with monkeypatch.context() as patch:
      patch.setattr(module, name, value)
      names.append(classifiers._digest(IMAGES))
  assert len(set(names)) == len(names)
  assert classifiers._digest(make_images()) == names[0]
  assert classifiers._digest(IMAGES._replace(classes=tuple("0123456789ab"))) == names[0]
  for images in (IMAGES, make_images("other"), swapped):
    load_classifier(images)
  assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize(("n", "channels", "steps"), [(1, 1, 1), (400, 1, 200), (400, 3, 200)])
def test_few_images_are_passed_64_times(n, channels, steps, monkeypatch):
  monkeypatch.undo()
  images = IMAGES._replace(train_images=np.zeros((n, 16, 16, channels), np.uint8))
  assert classifiers._n_steps(images) == steps


def damages(content):
  """By name, what a damaged file holds."""
  flipped = bytearray(content)
  flipped[len(content) // 2] ^= 1
  return {
    "empty": b"",
    "cut short": content[:-100],
    "a bit": bytes(flipped),
    "its first bytes": b"\0" * 8 + content[8:],
    "no zip": b"rubbish",
  }


@pytest.mark.parametrize("name", damages(b"0"))
def test_a_damaged_file_is_rebuilt(name, cache, capsys):
  trained = load_classifier(IMAGES)
  path = only_file(cache)
  content = path.read_bytes()
  path.write_bytes(damages(content)[name])
  capsys.readouterr()
  chex.assert_trees_all_equal(load_classifier(IMAGES), trained)
  said, _ = capsys.readouterr().err.splitlines()
  assert said == f"{path}: damaged or not readable; training the classifier of tiny again"
  assert only_file(cache).read_bytes() == content


def test_a_valid_file_with_other_values_is_damaged(cache, capsys):
  """What zip's own checksums do not see."""
  trained = load_classifier(IMAGES)
  path = only_file(cache)
  with np.load(path) as file:
    arrays = dict(file)
  for name in ("Dense_1/bias", "test_accuracy"):
    np.savez(path, **arrays | {name: arrays[name] + 1})
    chex.assert_trees_all_equal(load_classifier(IMAGES), trained)
    assert "damaged" in capsys.readouterr().err


def test_no_bit_of_a_file_can_flip_unseen(cache, tmp_path):
  """Or it is one of those of zip's headers that hold nothing, such as a time."""
  trained = load_classifier(IMAGES)
  content = only_file(cache).read_bytes()
  path = tmp_path / "flipped.npz"
  rng = np.random.default_rng(0)
  for place, bit in zip(rng.integers(0, len(content), 60), rng.integers(0, 8, 60), strict=True):
    flipped = bytearray(content)
    flipped[place] ^= 1 << bit
    path.write_bytes(flipped)
    try:
      read = classifiers._read(path)
    except Exception:
      continue
    chex.assert_trees_all_equal(read, trained)


@pytest.mark.parametrize("what", ["cache", "cache/wgan_jax"])
def test_a_folder_that_cannot_be_written_costs_a_warning(what, tmp_path, monkeypatch, capsys):
  """A file in its place: permissions would not stop root."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  (tmp_path / what).parent.mkdir(exist_ok=True)
  (tmp_path / what).touch()
  for _ in range(2):
    assert 0 <= load_classifier(IMAGES).test_accuracy <= 1
    training, _, warning = capsys.readouterr().err.splitlines()
    assert training.startswith("training the classifier of tiny")
    assert warning.startswith(f"warning: {tmp_path / 'cache'}")
    assert "not written" in warning


def test_a_failed_write_leaves_nothing(cache, monkeypatch, capsys):
  def fail(*args):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(user_cache.os, "replace", fail)
  load_classifier(IMAGES)
  assert "No space left on device" in capsys.readouterr().err
  assert not list(cache.iterdir())


def test_writers_at_once_leave_a_whole_file(cache):
  """Each reader sees a whole file, and no writer fails."""
  trained = load_classifier(IMAGES)
  path = only_file(cache)

  def write_and_read(_):
    classifiers._write(path, trained)
    return classifiers._read(path)

  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    for read in pool.map(write_and_read, range(100)):
      chex.assert_trees_all_equal(read, trained)
  assert only_file(cache) == path


def test_images_are_classified_alike_in_any_company():
  params = load_classifier(IMAGES).params
  rng = np.random.default_rng(1)
  many = rng.uniform(-1, 1, (classifiers._BATCH + 2, 8, 8, 1)).astype(np.float32)
  outputs = classify_images(params, many)
  np.testing.assert_allclose(outputs.features, features(params, many), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(outputs.logits, classify(params, many), rtol=1e-5, atol=1e-5)
  for part in (slice(0, 1), slice(0, 500), slice(-3, None)):
    alone = classify_images(params, jnp.asarray(many[part]))
    chex.assert_trees_all_equal(alone, jax.tree.map(lambda x, part=part: x[part], outputs))


@pytest.mark.parametrize(
  ("images", "message"),
  [
    (np.zeros((0, 8, 8, 1), np.float32), r"float32 \[0, 8, 8, 1\], expected float .* n at least 1"),
    (np.zeros((8, 8, 1), np.float32), r"float32 \[8, 8, 1\], expected float \[n, height"),
    (np.zeros((1, 8, 8, 1), np.uint8), r"uint8 \[1, 8, 8, 1\], expected float"),
    (np.full((1, 8, 8, 1), 1.01), r"64 of 64 values are outside \[-1, 1\]: .* 1.01 to 1.01"),
    (np.full((1, 8, 8, 1), np.nan), r"64 of 64 values are outside \[-1, 1\]"),
  ],
)
def test_what_is_no_image_is_refused(images, message):
  with pytest.raises(ValueError, match=message):
    classify_images({}, images)


@pytest.mark.campaign
def test_the_digits_recipe(monkeypatch):
  """The recipe as it is used: 289 of 297 at least."""
  monkeypatch.undo()
  monkeypatch.setattr(classifiers, "_write", lambda path, trained: None)
  monkeypatch.setattr(classifiers, "user_cache_folder", lambda: pathlib.Path("/nowhere"))
  assert load_classifier(load_images("digits")).test_accuracy >= 0.97
