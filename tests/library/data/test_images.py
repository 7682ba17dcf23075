"""Images: the embedded digits, the choice of a data set, scaling and sampling."""

import os
import pathlib
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wgan_jax.data import images, prepare
from wgan_jax.data.images import DataError


@pytest.fixture(scope="module")
def digits():
  return images.load_images("digits")


class TestDigits:
  def test_counts_and_types(self, digits):
    assert digits.name == "digits"
    assert digits.classes == tuple("0123456789")
    chex.assert_shape(digits.train_images, (1500, 28, 28, 1))
    chex.assert_shape(digits.test_images, (297, 28, 28, 1))
    chex.assert_shape([digits.train_labels, digits.test_labels], [(1500,), (297,)])
    chex.assert_type([digits.train_images, digits.test_images], np.uint8)
    chex.assert_type([digits.train_labels, digits.test_labels], np.int32)

  def test_both_splits_are_stratified(self, digits):
    train, test = np.bincount(digits.train_labels), np.bincount(digits.test_labels)
    share = (train + test) / 1797
    assert np.abs(train - 1500 * share).max() <= 1
    assert np.abs(test - 297 * share).max() <= 1

  def test_every_digit_is_in_one_split(self, digits):
    train, test = images._split_digits(np.arange(1797) % 10)
    assert sorted([*train, *test]) == list(range(1797))
    both = np.concatenate([digits.train_images, digits.test_images])
    assert len(np.unique(both, axis=0)) == 1797

  def test_always_the_same(self, digits):
    chex.assert_trees_all_equal(images.load_images("digits")[1:5], digits[1:5])

  def test_drawn_like_mnist(self, digits):
    """Black margin of 4, bright strokes up to the box's edge, full range."""
    for x in (digits.train_images, digits.test_images):
      box = x[:, 4:-4, 4:-4]
      assert x.astype(int).sum() == box.astype(int).sum()
      assert min(box[:, 0].max(), box[:, -1].max()) > 200
      assert x.min() == 0
      assert x.max() == 255
      assert x.max((1, 2, 3)).min() > 200

  def test_enlarged_without_a_flip_or_a_shift(self, digits):
    """An image is nearest to its own original, drawn in blocks, and as bright."""
    from sklearn.datasets import load_digits

    originals = load_digits()
    train, _ = images._split_digits(originals.target.astype(np.int32))
    blocks = originals.images[train].repeat(5, 1).repeat(5, 2).reshape(-1, 20, 2, 20, 2)
    small = blocks.mean((2, 4)).reshape(1500, -1) * (255 / 16)
    large = digits.train_images[:40, 4:-4, 4:-4, 0].reshape(40, -1).astype(float)
    distances = np.linalg.norm(large[:, None] - small, axis=-1)
    np.testing.assert_array_equal(distances.argmin(1), np.arange(40))
    assert large.mean() == pytest.approx(small[:40].mean(), rel=0.03)

  def test_labels_belong_to_their_images(self, digits):
    """One nearest neighbour knows the digit: shuffled labels would give 10 %."""
    train = digits.train_images.reshape(1500, -1).astype(float)
    test = digits.test_images.reshape(297, -1).astype(float)
    nearest = (np.square(train).sum(1) - 2 * test @ train.T).argmin(1)
    assert (digits.train_labels[nearest] == digits.test_labels).mean() > 0.95

  @pytest.mark.parametrize("package", ["sklearn", "PIL"])
  def test_a_missing_package_is_named_with_its_extra(self, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    message = (
      rf"^digits: the package {package} is missing .*: pip install 'wgan_jax\[experiments\]'$"
    )
    with pytest.raises(DataError, match=message):
      images.load_images("digits")


class TestChoice:
  @pytest.mark.parametrize(
    ("prepared", "downloadable", "chosen"),
    [(True, False, "mnist"), (False, True, "mnist"), (False, False, "digits")],
  )
  def test_auto(self, prepared, downloadable, chosen, tmp_path, monkeypatch):
    if chosen == "mnist":
      pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(images, "can_download", lambda name: downloadable)
    if prepared:
      folder = prepare.prepared_dir("mnist", tmp_path)
      folder.mkdir(parents=True)
      (folder / "mnist-train.array_record-00000-of-00001").touch()
    assert images.resolve_auto(tmp_path) == chosen

  def test_auto_asks_no_network_if_mnist_is_prepared(self, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "can_download", lambda name: pytest.fail("asked"))
    monkeypatch.setattr(images, "is_prepared", lambda name, data_dir: True)
    assert images.resolve_auto(tmp_path) == "mnist"

  def test_auto_forgives_no_typing_error(self, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
      images.resolve_auto(tmp_path / "typo")

  @pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
  def test_a_named_set_never_falls_back(self, name, tmp_path, monkeypatch):
    downloader = pytest.importorskip("tensorflow_datasets.core.download.downloader")
    monkeypatch.setattr(downloader, "MAX_RETRIES", 0)  # Else a mistake costs 204 s.
    monkeypatch.setattr(images, "can_download", lambda name: False)
    with pytest.raises(DataError, match=rf"^{name}: .*no network.*data_dir.*digits") as caught:
      images.load_images(name, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())

  @pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
  def test_a_missing_folder(self, name, tmp_path):
    with pytest.raises(DataError, match="typo' does not exist"):
      images.load_images(name, tmp_path / "typo")
    with pytest.raises(DataError, match="typo' does not exist"):
      images.is_prepared(name, tmp_path / "typo")

  @pytest.mark.parametrize("function", [images.load_images, images.is_prepared])
  def test_an_unknown_name(self, function):
    with pytest.raises(DataError, match=r"^'cifar' is not .*: choose one of mnist, fashion_mnist"):
      function("cifar")

  def test_the_digits_are_always_prepared(self):
    assert images.is_prepared("digits")
    assert not images.can_download("digits")

  def test_the_library_is_imported_without_the_extras(self):
    """A machine with an accelerator may lack them, and no start waits for their import."""
    code = (
      "import importlib, pkgutil, sys, wgan_jax\n"
      "for module in pkgutil.walk_packages(wgan_jax.__path__, 'wgan_jax.'):\n"
      "  importlib.import_module(module.name)\n"
      "print(*sys.modules)"
    )
    root = pathlib.Path(__file__).parents[3]
    modules = subprocess.run(
      [sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True
    ).stdout.split()
    assert {"wgan_jax.data.prepare", "wgan_jax.networks.dcgan"} <= set(modules)
    extras = {
      "tensorflow_datasets",
      "array_record",
      "sklearn",
      "PIL",
      "requests",
      "ot",
      "matplotlib",
    }
    assert not extras & set(modules)


class TestScaling:
  @pytest.mark.parametrize("transform", [jax.jit, lambda function: function])
  def test_every_level_is_exact(self, transform):
    levels = np.arange(256, dtype=np.uint8)
    unit = transform(images.to_unit)(levels)
    assert unit.dtype == jnp.float32
    np.testing.assert_allclose(unit, np.arange(256) / 127.5 - 1, rtol=0, atol=2e-7)
    assert unit.min() == -1
    assert unit.max() == 1
    np.testing.assert_array_equal(unit, images.to_unit(levels))
    back = transform(images.to_uint8)(unit)
    assert back.dtype == jnp.uint8
    np.testing.assert_array_equal(back, levels)

  def test_rounds_to_the_nearest_level_and_clips(self):
    near = jnp.array([-1.5, -1.0, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1, 1.0, 1.5])
    np.testing.assert_array_equal(images.to_uint8(near), [0, 0, 0, 1, 255, 255])
    # The conversion of a CPU saturates by itself, but XLA does not promise that.
    assert "clip" in str(jax.make_jaxpr(images.to_uint8)(near))

  def test_a_wrong_type_stops_at_the_door(self):
    with pytest.raises(AssertionError):
      images.to_unit(jnp.zeros(3))  # Scaled twice.
    with pytest.raises(AssertionError):
      images.to_uint8(jnp.zeros(3, jnp.uint8))


class TestSampling:
  @pytest.fixture
  def data(self):
    """Ten images: image i is i everywhere but in one pixel, so that the axes cannot be mixed up."""
    levels = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((28, 28, 1), np.uint8)
    levels[:, 3, 5] = 200
    return jnp.asarray(levels)

  def test_images_of_the_data_in_the_unit_range(self, data):
    batch = images.sample_images(jax.random.key(0), data, 64)
    chex.assert_shape(batch, (64, 28, 28, 1))
    chex.assert_type(batch, jnp.float32)
    back = images.to_uint8(batch)
    np.testing.assert_array_equal(back, data[back[:, 0, 0, 0]])

  def test_the_key_decides(self, data):
    def draw(seed):
      return images.sample_images(jax.random.key(seed), data, 64)

    np.testing.assert_array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))

  def test_uniform_over_all_images(self, data):
    """Counts of 20,000 draws: each within 5 sigma of 2,000."""
    n, p = 20_000, 1 / 10
    drawn = jax.jit(lambda key, x: images.to_uint8(images.sample_images(key, x, n)[:, 0, 0, 0]))
    counts = np.bincount(drawn(jax.random.key(0), data), minlength=10)
    assert len(counts) == 10
    assert np.abs(counts - n * p).max() < 5 * np.sqrt(n * p * (1 - p))

  def test_with_replacement(self, data):
    """A batch larger than the data; and one of 10 from 10 is no permutation."""
    batch = images.sample_images(jax.random.key(0), data, 10)[:, 0, 0, 0]
    assert len(np.unique(batch)) < 10

  def test_host_and_device_and_compiled_agree(self, data):
    key = jax.random.key(3)
    sample = jax.jit(images.sample_images, static_argnums=2)
    expected = images.sample_images(key, data, 8)
    np.testing.assert_array_equal(images.sample_images(key, np.asarray(data), 8), expected)
    np.testing.assert_array_equal(sample(key, data, 8), expected)

  def test_the_data_is_an_argument_and_stays_uint8(self, data):
    """The program holds no copy of the data, and floats for the batch only."""
    jaxpr = jax.make_jaxpr(images.sample_images, static_argnums=2)(jax.random.key(0), data, 4)
    assert not jaxpr.consts
    floats = [
      v.aval.shape
      for equation in jaxpr.eqns
      for v in equation.outvars
      if v.aval.dtype == jnp.float32 and v.aval.shape
    ]
    assert set(floats) == {(4, 28, 28, 1)}

  @pytest.mark.parametrize(
    "data", [np.zeros((5, 28, 28), np.uint8), np.zeros((5, 28, 28, 1), np.float32)]
  )
  def test_a_wrong_shape_or_type_stops_at_the_door(self, data):
    with pytest.raises(AssertionError):
      images.sample_images(jax.random.key(0), data, 2)


def has(name):
  try:
    return bool(os.environ.get("TFDS_DATA_DIR")) and images.is_prepared(name)
  except DataError:
    return False


@pytest.mark.campaign
@pytest.mark.skipif(not has("mnist"), reason="TFDS_DATA_DIR is unset or holds no MNIST")
def test_real_mnist():
  """The counts of each digit and the mean pixel that the literature gives."""
  data = images.load_images("mnist")
  chex.assert_shape(data.train_images, (60_000, 28, 28, 1))
  chex.assert_shape(data.test_images, (10_000, 28, 28, 1))
  train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
  test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
  np.testing.assert_array_equal(np.bincount(data.train_labels), train)
  np.testing.assert_array_equal(np.bincount(data.test_labels), test)
  assert data.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)


@pytest.mark.campaign
@pytest.mark.skipif(not has("cifar10"), reason="TFDS_DATA_DIR is unset or holds no CIFAR-10")
def test_real_cifar10():
  """Equal counts of each class, and each channel's mean and deviation as the literature gives."""
  data = images.load_images("cifar10")
  chex.assert_shape(data.train_images, (50_000, 32, 32, 3))
  chex.assert_shape(data.test_images, (10_000, 32, 32, 3))
  np.testing.assert_array_equal(np.bincount(data.train_labels), np.full(10, 5000))
  np.testing.assert_array_equal(np.bincount(data.test_labels), np.full(10, 1000))
  pixels = data.train_images.reshape(-1, 3) / np.float32(255)
  np.testing.assert_allclose(pixels.mean(0, np.float64), [0.4914, 0.4822, 0.4465], atol=6e-5)
  np.testing.assert_allclose(pixels.std(0, np.float64), [0.2470, 0.2435, 0.2616], atol=6e-5)
  folder = prepare.prepared_dir("cifar10", prepare.data_root())
  assert (folder / "label.labels.txt").read_text().split() == list(data.classes)


def test_stacked_images_are_three_of_the_base(digits):
  base = digits
  stacked = images.stack(base)
  again = images.stack(base)
  np.testing.assert_array_equal(stacked.train_images, again.train_images)
  assert stacked.name == "stacked_digits"
  assert stacked.train_images.shape == (1500, 28, 28, 3)
  assert stacked.test_images.shape == (297, 28, 28, 3)
  assert stacked.train_labels.dtype == np.int32
  assert len(np.unique(stacked.train_labels)) > 700
  known = {
    image.tobytes(): label for image, label in zip(base.test_images, base.test_labels, strict=True)
  }
  for image, label in zip(stacked.test_images[:20], stacked.test_labels[:20], strict=True):
    digits = [known[image[..., channel].tobytes()] for channel in range(3)]
    assert label == 100 * digits[0] + 10 * digits[1] + digits[2]
  assert images.image_shape("stacked_mnist") == (28, 28, 3)
  assert images.image_shape("digits") == (28, 28, 1)
  assert images.image_shape("cifar100") == (32, 32, 3)


def test_the_classes_of_stacked_images_are_named_by_their_channels(digits):
  assert images.class_names("stacked_mnist")[47] == "047"
  assert images.stack(digits).classes == images.class_names("stacked_mnist")
  assert images.stack(digits._replace(classes=())).classes == ()


def test_classes_without_names_are_as_many_as_the_labels_need(digits):
  assert digits.n_classes == 10
  some = digits.train_labels[digits.train_labels < 4]
  assert digits._replace(train_labels=some).n_classes == 10
  assert digits._replace(train_labels=some, classes=()).n_classes == 4
