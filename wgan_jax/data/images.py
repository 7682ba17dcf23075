"""Data sets of images as arrays, and i.i.d. batches of them on the device."""

import itertools
import os
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax.data import prepare
from wgan_jax.data.prepare import DataError, can_download, check_installed
from wgan_jax.data.sources import SOURCES

NAMES = ("mnist", "fashion_mnist", "digits", "stacked_mnist", "cifar10", "cifar100")
STACKED_OF = {"stacked_mnist": "mnist"}  # Stacked set: the set whose images are its channels.

_N_TEST_DIGITS = 297
_ROWS = SOURCES | {"digits": SOURCES["mnist"]}  # As large, and of as many classes.


class Images(NamedTuple):
  """A data set in host memory.

  Attributes:
    name: one of `NAMES`, or another for images from elsewhere.
    train_images: uint8 [n, height, width, channels]; 1 channel of 0 (background) to 255, 3 channels
      of colour, or of stacked digits.
    train_labels: int32 [n], 0 to `n_classes` - 1.
    test_images: uint8 [m, height, width, channels].
    test_labels: int32 [m].
    classes: names of the classes, in the order of the labels; empty if they have none.
  """

  name: str
  train_images: np.ndarray
  train_labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray
  classes: tuple[str, ...] = ()

  @property
  def n_classes(self) -> int:
    """Number of classes: of names, or, without names, as many as the training labels need."""
    return len(self.classes) or int(self.train_labels.max(initial=-1)) + 1


def load_images(name: str, data_dir: str | os.PathLike | None = None) -> Images:
  """Loads a data set of images; downloads and prepares it if needed.

  It never falls back to another data set. `resolve_auto` chooses one. Without a network, the
  original files are taken from `<data_dir>/downloads/manual/<name>`.

  Args:
    name: one of
      "mnist", "fashion_mnist": 60,000 training and 10,000 test images.
      "digits": 1,500 and 297 images that scikit-learn contains; no file and no network is needed.
      "stacked_mnist": 60,000 and 10,000 images. Digits a, b and c of MNIST are the channels of one
        image of class 100 a + 10 b + c.
      "cifar10", "cifar100": 50,000 and 10,000 images in colour.
    data_dir: TFDS folder; None for TFDS_DATA_DIR, or TFDS's default if that is unset. "digits" does
      not use it.

  Returns:
    The images and labels of both splits, as host arrays.

  Raises:
    DataError: `name` is unknown, the folder does not exist, the data in it is damaged, there is
      neither data nor a network, or a package of the extra `experiments` is missing.
  """
  _check_name(name)
  if name == "digits":
    return _load_digits()
  if name in STACKED_OF:
    return stack(load_images(STACKED_OF[name], data_dir))
  root = prepare.data_root(data_dir)
  if not os.path.isdir(prepare.prepared_dir(name, root)):
    if not prepare.has_manual_files(name, root) and not can_download(name):
      raise DataError(
        f"{name}: not prepared in {str(root)!r}, and no network to download it: name a data_dir"
        " that holds it prepared, or use digits, which needs neither"
      )
    prepare.prepare(name, root)
  splits = prepare.read(name, root)
  return Images(name, *splits["train"], *splits["test"], class_names(name))


def stack(images: Images) -> Images:
  """Stacks random triples of images as the channels of one, always the same triples.

  Args:
    images: images of ten classes and one channel, such as MNIST.

  Returns:
    As many stacked images, of 1,000 classes: 100 a + 10 b + c for channels of classes a, b and c.

  References:
    Metz et al., Unrolled Generative Adversarial Networks, 2016, arXiv 1611.02163, section 3.3.1.
  """
  rng = np.random.default_rng(0)

  def stacked(pixels, labels):
    triples = rng.integers(len(labels), size=(len(labels), 3))
    classes = labels[triples] @ np.array([100, 10, 1], np.int32)
    return pixels[triples, ..., 0].transpose(0, 2, 3, 1).copy(), classes

  train = stacked(images.train_images, images.train_labels)
  test = stacked(images.test_images, images.test_labels)
  return Images(f"stacked_{images.name}", *train, *test, _stack_names(images.classes))


def image_shape(name: str) -> tuple[int, int, int]:
  """Height, width and channels of a data set's images, known without loading it.

  Raises:
    DataError: `name` is unknown.
  """
  _check_name(name)
  if name in STACKED_OF:
    return (*image_shape(STACKED_OF[name])[:2], 3)
  return _ROWS[name].shape


def class_names(name: str) -> tuple[str, ...]:
  """Names of a data set's classes, as TFDS has them, known without loading it.

  Raises:
    DataError: `name` is unknown.
  """
  _check_name(name)
  if name in STACKED_OF:
    return _stack_names(class_names(STACKED_OF[name]))
  return _ROWS[name].classes


def is_prepared(name: str, data_dir: str | os.PathLike | None = None) -> bool:
  """Whether `load_images` would read `name` without a download, by file names only.

  Raises:
    DataError: `name` is unknown, or a folder was named that does not exist.
  """
  _check_name(name)
  if name == "digits":
    return True
  name = STACKED_OF.get(name, name)
  root = prepare.data_root(data_dir)
  try:
    return prepare.has_array_records(prepare.prepared_dir(name, root))
  except DataError:  # A package that reads it is missing.
    return False


def resolve_auto(data_dir: str | os.PathLike | None = None) -> str:
  """Chooses a data set: "mnist" if it is prepared or can be downloaded, else "digits".

  Raises:
    DataError: a folder was named that does not exist.
  """
  if is_prepared("mnist", data_dir):
    return "mnist"
  if not can_download("mnist"):
    return "digits"
  # A folder in another format, as TensorFlow users have it, keeps TFDS from preparing.
  in_the_way = os.path.isdir(prepare.prepared_dir("mnist", prepare.data_root(data_dir)))
  return "digits" if in_the_way else "mnist"


def to_unit(images: chex.Array) -> jax.Array:
  """Scales uint8 0..255 to float32 [-1, 1], the range of tanh: x / 127.5 - 1, for any shape."""
  chex.assert_type(images, jnp.uint8)
  # 2 x - 255 is exact, so there is one rounding: the same bits on any device, compiled or not, and
  # never outside [-1, 1]. A compiled x / 127.5 - 1 multiplies by 1 / 127.5 and reaches 1.0000001.
  return (2 * jnp.asarray(images).astype(jnp.float32) - 255) * (1 / 255)


def to_uint8(images: chex.Array) -> jax.Array:
  """Inverts `to_unit`: rounds to the nearest level and clips values outside [-1, 1]."""
  chex.assert_type(images, float)
  return jnp.clip(jnp.round((jnp.asarray(images) + 1) * 127.5), 0, 255).astype(jnp.uint8)


def sample_images(key: chex.PRNGKey, data: chex.Array, batch_size: int) -> jax.Array:
  """Draws images i.i.d. and uniformly, with replacement. A batch depends on its key only.

  Args:
    key: used once.
    data: uint8 [n, height, width, channels], on the device. Under `jit`, pass it as an argument:
      captured, it becomes a constant.
    batch_size: number of images to draw.

  Returns:
    float32 [batch_size, height, width, channels] in [-1, 1].
  """
  chex.assert_rank(data, 4)
  chex.assert_type(data, jnp.uint8)
  indices = jax.random.randint(key, (batch_size,), 0, data.shape[0])
  return to_unit(jnp.asarray(data)[indices])


class LabelledImages(NamedTuple):
  """Images and their classes, the data of conditional networks.

  Attributes:
    images: uint8 [n, height, width, channels].
    labels: int32 [n].
  """

  images: chex.Array
  labels: chex.Array


def sample_labelled_images(
  key: chex.PRNGKey, data: LabelledImages, batch_size: int
) -> tuple[jax.Array, jax.Array]:
  """Draws images as `sample_images` does, the same for a key, with their classes.

  Args:
    key: used once.
    data: images and classes, on the device.
    batch_size: number of images to draw.

  Returns:
    float32 [batch_size, height, width, channels] in [-1, 1], and int32 [batch_size].
  """
  chex.assert_equal_shape_prefix([data.images, data.labels], 1)
  indices = jax.random.randint(key, (batch_size,), 0, data.images.shape[0])
  return sample_images(key, data.images, batch_size), jnp.asarray(data.labels)[indices]


def _check_name(name):
  if name not in NAMES:
    raise DataError(f"{name!r} is not a data set: choose one of {', '.join(NAMES)}")


def _stack_names(classes):
  """Names of the classes of three stacked images: those of the channels, in a row."""
  return tuple(map("".join, itertools.product(classes, repeat=3)))


def _load_digits():
  """Loads scikit-learn's 8 x 8 digits, enlarged to MNIST's 20 x 20 in its margin of 4."""
  check_installed("digits", "PIL", "sklearn")
  from PIL import Image
  from sklearn.datasets import load_digits

  digits = load_digits()
  small = np.rint(digits.images * (255 / 16)).astype(np.uint8)
  large = [
    np.asarray(Image.fromarray(image).resize((20, 20), Image.Resampling.BICUBIC)) for image in small
  ]
  images = np.pad(np.stack(large), ((0, 0), (4, 4), (4, 4)))[..., None]
  labels = digits.target.astype(np.int32)
  train, test = _split_digits(labels)
  splits = images[train], labels[train], images[test], labels[test]
  return Images("digits", *splits, class_names("digits"))


def _split_digits(labels):
  """Splits the digits: stratified indices of train and test, always the same."""
  from sklearn.model_selection import train_test_split

  return train_test_split(
    np.arange(len(labels)), test_size=_N_TEST_DIGITS, stratify=labels, random_state=0
  )
