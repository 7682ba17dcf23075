"""Measures of images by a classifier: their classes, and distances between its features."""

import functools
import math
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.host.digest import digest_state
from experiments.measures.classifiers import classify_images, load_classifier
from experiments.measures.rows import SAMPLES, Measure, Run, View
from experiments.spec.dataset import Dataset
from wgan_jax import Params, generate
from wgan_jax.data.images import to_unit
from wgan_jax.frechet import frechet_distance, nearest_distances, precision_recall
from wgan_jax.modes import class_statistics, stacked_class
from wgan_jax.networks.classifier import classify, features

N_FEATURES_OF = 2000  # Samples, and held-out images, whose features are compared.
LEAST = 4  # A neighbourhood has three neighbours.
_SURE = 0.9  # A classifier is sure of a class from this probability on.
_NEAR = 0.95  # The share of held-out images that are near the others.
_N_STACKED = 26_000  # Samples for 1,000 modes, as published tables have it.


def rows() -> list[Measure]:
  """The measures that need a classifier."""
  row = functools.partial(
    Measure,
    group=SAMPLES,
    slow=True,
    applies=lambda run: run.classifier is not None,
    needs=(classified,),
    finish=_measured,
  )
  return [
    row("n_classes", "classes found", "classes", "By a classifier of the data's classes.",
      panel="classes found", short="classes"),
    row("class_kl", "KL, samples' classes to the data's", "nats",
      "0 at best; stacked images: to uniform.",
      panel="precision and recall; KL of classes", order=1),
    row("frechet", "classifier Fréchet distance, samples to held out", "squared features",
      "Between Gaussians fitted to that classifier's features. It is no FID, and not 0 for the data"
      " themselves: experiments.evaluate gives its floor.",
      panel="classifier Fréchet distance", short="Fréchet"),
    row("precision", "precision in classifier features", "share",
      "Samples that lie among the held-out data: whether they are good.",
      panel="precision and recall; KL of classes"),
    row("recall", "recall in classifier features", "share",
      "Held-out data that lie among the samples: whether all kinds are there.",
      panel="precision and recall; KL of classes"),
    row("readable", "readable share of samples", "share",
      "Samples of which the classifier is surer than .9, and which lie as near to one of the"
      " held-out data as 95 % of these do to another, in its features.",
      panel="precision and recall; KL of classes", short="readable"),
    row("class_agreement", "share of samples of the class asked for", "share",
      "By that classifier; of networks that take a class. It cannot be better than the classifier.",
      panel="precision and recall; KL of classes", short="as asked", applies=_asks),
  ]  # fmt: skip


def _asks(run: Run) -> bool:
  return run.classifier is not None and run.labels is not None


def classified(view: View) -> dict[str, jax.Array]:
  """What the classifier sees in samples, as `ClassifierMeasures.inspect` gives them."""
  networks, classifier = view.run.networks, view.run.classifier

  def sample(key, n):
    if not networks.n_classes:
      return generate(networks, view.state, key, n)
    # Asked for as often as the data have them.
    key_samples, key_labels = jax.random.split(key)
    labels = jax.random.choice(
      key_labels, networks.n_classes, (n,), p=jnp.asarray(classifier.shares)
    )
    return generate(networks, view.state, key_samples, n, labels=labels), labels

  return classifier.look(view.classifier_params, sample, view.keys["classes"])


def _measured(view: View) -> dict[str, float]:
  classifier, seen = view.run.classifier, view.once(classified)
  # Finite parameters may give samples that are not, and then features.
  finite = np.isfinite(seen["features"]).all()
  if finite:
    return classifier.measure(seen)
  return dict.fromkeys((*classifier.NAMES, "class_agreement"), math.nan)


def class_agreement(predicted: np.ndarray, asked: np.ndarray) -> float:
  """Share of samples whose class, as a classifier sees it, is the one that was asked for.

  Args:
    predicted: integers [n].
    asked: integers [n], n at least 1.

  Raises:
    ValueError: the shapes differ, or there are no samples.
  """
  predicted, asked = np.asarray(predicted), np.asarray(asked)
  if predicted.shape != asked.shape or not predicted.size:
    raise ValueError(f"classes are {predicted.shape}, those asked for {asked.shape}")
  return float(np.mean(predicted == asked))


def load_classifier_measures(dataset: Dataset) -> "ClassifierMeasures | None":
  """The classifier's measures of a data set of images with classes; None for others.

  It is None, with a warning, where too few images are held out to be compared with.
  """
  if dataset.images is None or dataset.images.train_labels is None:
    return None
  if len(dataset.images.test_images) < LEAST:
    print(
      f"warning: {dataset.name}: fewer than {LEAST} images are held out: there are no"
      " measures by a classifier",
      file=sys.stderr,
    )
    return None
  return ClassifierMeasures(dataset)


class ClassifierMeasures:
  """Measures of images by a classifier, against a data set's own test images.

  Attributes:
    params: the classifier's parameters.
    n_samples: how many samples `look` draws.
    shares: share of each class in the training data, [classes]; uniform for stacked images.
  """

  NAMES = ("n_classes", "class_kl", "frechet", "precision", "recall", "readable")

  def __init__(self, dataset: Dataset):
    """Trains the classifier of a data set of images, or reads it from the cache."""
    pictures, base = dataset.images, dataset.base
    classifier = load_classifier(base)
    self.params = classifier.params
    self._stacked = base is not pictures
    self._test_accuracy = classifier.test_accuracy
    self.n_samples = _N_STACKED if self._stacked else N_FEATURES_OF
    self.shares = np.bincount(base.train_labels, minlength=base.n_classes) / len(base.train_labels)
    if self._stacked:  # Of three digits. Uniform, as published tables have it.
      self.shares = np.full(base.n_classes**3, base.n_classes**-3)
    held_out = np.asarray(to_unit(pictures.test_images[:N_FEATURES_OF]))
    self._held_out = self.inspect(held_out)["features"]
    self._reach = np.quantile(nearest_distances(self._held_out), _NEAR)

  def describe(self) -> dict:
    """Accuracy and digest of the classifier; figures of different classifiers do not compare."""
    return {"test_accuracy": self._test_accuracy, "params": digest_state(self.params)}

  def look(
    self, params: Params, sample: Callable[[jax.Array, int], jax.Array], key: jax.Array
  ) -> dict[str, jax.Array]:
    """Draws `n_samples` samples within a program; returns what `inspect` does.

    Args:
      params: `self.params`, an argument of the program and no constant.
      sample: (key, n) -> images in [-1, 1], [n, height, width, channels]; of a generator that takes
        a class a pair of these and the classes asked for, [n], which are then among the results.
      key: draws all of them.
    """

    def see(key):
      drawn = sample(key, N_FEATURES_OF)
      images, *asked = drawn if isinstance(drawn, tuple) else (drawn,)
      outputs = [(features(params, each), classify(params, each)) for each in self._parts(images)]
      return _join(outputs) | ({"asked": asked[0]} if asked else {})

    seen = jax.lax.map(see, jax.random.split(key, self.n_samples // N_FEATURES_OF))
    return {
      name: leaf.ravel() if name in ("classes", "asked") else leaf[0] for name, leaf in seen.items()
    }

  def inspect(self, images: np.ndarray) -> dict[str, np.ndarray]:
    """Sees images on the host.

    Returns:
      The images' `classes`, [n]; `features`, [m, k], and `confidence`, [m], the probability of the
      class, of the first m = N_FEATURES_OF only.
    """
    outputs = [classify_images(self.params, each) for each in self._parts(images)]
    seen = jax.device_get(_join(outputs))
    return {
      name: leaf if name == "classes" else leaf[:N_FEATURES_OF] for name, leaf in seen.items()
    }

  def measure(self, seen: dict) -> dict[str, float]:
    """Measures of what `inspect` or `look` returned, by name; with `asked`, their agreement too."""
    classes = class_statistics(jnp.asarray(seen["classes"]), jnp.asarray(self.shares, jnp.float32))
    real, fake = self._held_out, seen["features"]
    manifolds = precision_recall(real, fake)
    readable = (seen["confidence"] > _SURE) & (nearest_distances(fake, real) <= self._reach)
    values = (classes.n_classes, classes.kl, frechet_distance(real, fake), *manifolds)
    measures = dict(zip(self.NAMES, map(float, (*values, readable.mean())), strict=True))
    if "asked" in seen:
      measures["class_agreement"] = class_agreement(seen["classes"], seen["asked"])
    return measures

  def _parts(self, images):
    """The images that the classifier takes: the channels of stacked ones, each by itself."""
    return [images[..., i, None] for i in range(3)] if self._stacked else [images]


def _join(outputs):
  """What is seen in images, from features and logits of each of their parts."""
  features_of, logits = zip(*outputs, strict=True)
  probabilities = [jax.nn.softmax(each) for each in logits]
  digits = jnp.stack([jnp.argmax(each, -1) for each in logits], -1)
  return {
    "classes": stacked_class(digits) if len(outputs) > 1 else digits[:, 0],
    "features": jnp.concatenate(features_of, -1),
    "confidence": jnp.stack([each.max(-1) for each in probabilities]).min(0),
  }
