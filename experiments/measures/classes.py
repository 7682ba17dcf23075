"""What a classifier tells of images: their classes, and distances between its features."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.host.digest import digest_state
from experiments.measures.classifiers import classify_images, load_classifier
from experiments.spec.datasets import Dataset
from wgan_jax.data.images import to_unit
from wgan_jax.frechet import frechet_distance, precision_recall
from wgan_jax.modes import class_statistics, stacked_class
from wgan_jax.networks.classifier import N_CLASSES, classify, features
from wgan_jax.types import Params

N_FEATURES_OF = 2000  # Samples, and held-out images, whose features are compared.
_N_STACKED = 26_000  # Samples for 1,000 modes, as published tables have it.


def load_judge(dataset: Dataset) -> "Judge | None":
  """The judge of a data set; None for points, which need none."""
  return None if dataset.images is None else Judge(dataset)


class Judge:
  """A classifier of a data set, and what it tells of the data set's own test images.

  Attributes:
    params: the classifier's.
    n_samples: how many samples `look` draws.
    shares: of each class in the training data, [classes]; uniform for stacked images.
  """

  NAMES = ("n_classes", "class_kl", "frechet", "precision", "recall")

  def __init__(self, dataset: Dataset):
    """Trains the classifier, or reads it; `dataset` is of images."""
    pictures, base = dataset.images, dataset.base
    classifier = load_classifier(base)
    self.params = classifier.params
    self._channels = pictures.train_images.shape[-1]
    self._test_accuracy = classifier.test_accuracy
    self.n_samples = _N_STACKED if self._channels > 1 else N_FEATURES_OF
    self.shares = np.bincount(base.train_labels, minlength=N_CLASSES) / len(base.train_labels)
    if self._channels > 1:  # As published tables have it.
      self.shares = np.full(N_CLASSES**self._channels, N_CLASSES**-self._channels)
    held_out = np.asarray(to_unit(pictures.test_images[:N_FEATURES_OF]))
    self._held_out = self.inspect(held_out)["features"]

  def describe(self) -> dict:
    """What tells this classifier from others, with which figures do not compare."""
    return {"test_accuracy": self._test_accuracy, "params": digest_state(self.params)}

  def look(
    self, params: Params, sample: Callable[[jax.Array, int], jax.Array], key: jax.Array
  ) -> dict:
    """Draws `n_samples` samples within a program; see `inspect`.

    Args:
      params: `self.params`, an argument of the program and no constant.
      sample: (key, n) -> images in [-1, 1], [n, height, width, channels].
      key: draws all of them.
    """

    def see(key):
      channels = jnp.moveaxis(sample(key, N_FEATURES_OF), -1, 0)[..., None]
      return self._join([(features(params, each), classify(params, each)) for each in channels])

    seen = jax.lax.map(see, jax.random.split(key, self.n_samples // N_FEATURES_OF))
    return {"classes": seen["classes"].ravel(), "features": seen["features"][0]}

  def inspect(self, images: np.ndarray) -> dict:
    """Classes, [n], and features of the first N_FEATURES_OF, of images on the host."""
    channels = np.moveaxis(images, -1, 0)[..., None]
    seen = jax.device_get(self._join([classify_images(self.params, each) for each in channels]))
    return seen | {"features": seen["features"][:N_FEATURES_OF]}

  def _join(self, outputs):
    """What the channels of an image tell together."""
    digits = jnp.stack([jnp.argmax(logits, -1) for _, logits in outputs], -1)
    classes = stacked_class(digits) if len(outputs) > 1 else digits[:, 0]
    return {"classes": classes, "features": jnp.concatenate([each for each, _ in outputs], -1)}

  def measure(self, seen: dict) -> dict[str, float]:
    """The measures of what was seen, by name."""
    classes = class_statistics(jnp.asarray(seen["classes"]), jnp.asarray(self.shares, jnp.float32))
    real, fake = self._held_out, seen["features"]
    manifolds = precision_recall(real, fake)
    told = (classes.n_classes, classes.kl, frechet_distance(real, fake), *manifolds)
    return dict(zip(self.NAMES, map(float, told), strict=True))
