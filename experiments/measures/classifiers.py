"""The classifier of a data set: trained once, and kept in the user's cache folder.

The name of a cache file has a digest of all that the classifier depends on: data, recipe, code and
versions of packages. Its content has a digest too, so that damage is seen.
"""

import hashlib
import sys
from importlib import metadata
from typing import NamedTuple

import jax
import numpy as np

from experiments.host.cache import read_arrays, user_cache_folder, write_arrays
from experiments.host.digest import digest_code, digest_state
from wgan_jax.data.images import Images, to_unit
from wgan_jax.networks import classifier
from wgan_jax.types import Params

_SEED = 0
_PACKAGES = ("jax", "flax", "optax")  # Another version may train another classifier.
# Read with the import: a file that is edited later is not the code that runs.
_CODE = digest_code(classifier.__name__)
# By whether the images are drawings: the most steps, and seconds a step on two cores.
# MNIST: over 99 % are right. CIFAR-10: 78 %, and 73 % already after 2,000 steps.
_MOST_STEPS = {True: 3000, False: 4000}
_SECONDS = {True: 0.025, False: 0.09}
_BATCH = 500  # Images classified at once; fixed, so that results do not depend on how many.


class Classifier(NamedTuple):
  """A trained classifier.

  Attributes:
    params: parameters for `wgan_jax.networks.classifier`.
    test_accuracy: share of the test images that are classified correctly.
  """

  params: Params
  test_accuracy: float


class Outputs(NamedTuple):
  """Output of a classifier for images.

  Attributes:
    features: float32 [n, k].
    logits: float32 [n, classes].
  """

  features: np.ndarray
  logits: np.ndarray


def load_classifier(images: Images) -> Classifier:
  """Reads the classifier of a data set from the cache, or trains it on the training split.

  The same data, code, packages and machine give the same classifier, bit for bit. Training takes a
  minute, and six for images in colour. It is announced on standard error. Processes that start at
  once may each train; each writes a whole file. A cache that cannot be written costs a warning.
  """
  path = user_cache_folder() / "classifiers" / f"{images.name}-{_digest(images)}.npz"
  try:
    return _read(path)
  except (FileNotFoundError, NotADirectoryError):
    _say(
      f"training the classifier of {images.name}, once, in about {_minutes(images):.0f} min on two"
      f" cores: it will be kept as {path}"
    )
  except Exception:  # A flipped bit makes zipfile raise nearly anything.
    _say(f"{path}: damaged or not readable; training the classifier of {images.name} again")
  trained = _train(images)
  _say(f"the classifier of {images.name}: {trained.test_accuracy:.2%} of the test images are right")
  try:
    _write(path, trained)
  except OSError as error:
    _say(f"warning: {path}: not written ({error.strerror}): the next start trains it again")
  return trained


def classify_images(params: Params, images: np.ndarray) -> Outputs:
  """Features and logits of any number of images, in batches of one size.

  Args:
    params: parameters from `load_classifier`.
    images: float [n, height, width, channels] in [-1, 1], of the training images' shape.

  Raises:
    ValueError: there is no image, or a value is no float, not finite, or outside [-1, 1].
  """
  images = np.asarray(images)
  if images.ndim != 4 or not len(images) or not np.issubdtype(images.dtype, np.floating):
    raise ValueError(
      f"images are {images.dtype} {list(images.shape)}, expected float [n, height, width, channels]"
      " with n at least 1"
    )
  # Written so that a NaN is outside.
  if bad := np.count_nonzero(~(np.abs(images) <= 1)):
    raise ValueError(
      f"{bad} of {images.size} values are outside [-1, 1]: the range is"
      f" {images.min():.4g} to {images.max():.4g}"
    )
  n = len(images)
  padded = np.zeros((-(-n // _BATCH) * _BATCH, *images.shape[1:]), np.float32)
  padded[:n] = images
  batches = [_classify(params, batch) for batch in padded.reshape(-1, _BATCH, *images.shape[1:])]
  features, logits = (np.concatenate(parts)[:n] for parts in zip(*batches, strict=True))
  return Outputs(features, logits)


@jax.jit
def _classify(params, images):
  return classifier.features(params, images), classifier.classify(params, images)


def _is_drawing(images):
  return classifier.is_drawing(images.train_images.shape[1:])


def _n_steps(images):
  """Steps of training: 64 passes over a small data set, and no more than it takes a large one."""
  return max(1, min(len(images.train_images) // 2, _MOST_STEPS[_is_drawing(images)]))


def _minutes(images):
  return max(1, _n_steps(images) * _SECONDS[_is_drawing(images)] / 60)


def _train(images):
  train = jax.jit(classifier.train_classifier, static_argnames=("n_classes", "n_steps"))
  params = train(
    jax.random.key(_SEED),
    images.train_images,
    images.train_labels,
    n_classes=images.n_classes,
    n_steps=_n_steps(images),
  )
  params = jax.tree.map(np.asarray, params)
  predicted = classify_images(params, to_unit(images.test_images)).logits.argmax(1)
  return Classifier(params, float((predicted == images.test_labels).mean()))


def _digest(images):
  """Digest of all that the classifier and its test accuracy depend on."""
  versions = [metadata.version(name) for name in _PACKAGES]
  recipe = [_SEED, _n_steps(images), images.n_classes]
  digest = hashlib.sha256(repr((_CODE, versions, recipe)).encode())
  digest.update(digest_state(images._replace(classes=())[1:]).encode())
  return digest.hexdigest()[:16]


def _read(path):
  arrays = read_arrays(path)
  accuracy = float(arrays.pop("test_accuracy"))
  params = {}
  for name, values in arrays.items():
    layer, leaf = name.split("/")
    params.setdefault(layer, {})[leaf] = values
  return Classifier(params, accuracy)


def _write(path, trained):
  arrays = {f"{a}/{b}": leaf for a, leaves in trained.params.items() for b, leaf in leaves.items()}
  write_arrays(path, arrays | {"test_accuracy": np.float64(trained.test_accuracy)})


def _say(line):
  print(line, file=sys.stderr, flush=True)
