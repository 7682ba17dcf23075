"""Measures of images by a classifier, with one that is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measures import classes, rows
from experiments.measures.classes import (
  ClassifierMeasures,
  class_agreement,
  load_classifier_measures,
)
from experiments.measures.classifiers import Classifier, Outputs
from experiments.spec.datasets import of_images
from experiments.spec.settings import load_dataset
from wgan_jax.data.images import Images, stack

# The class is the brightness of the first pixel, and so is the only feature.
LEVELS = np.arange(10) * 25


@pytest.fixture(autouse=True)
def _a_known_classifier(monkeypatch):
  def brightness(images):
    return jnp.round((images[:, 0, 0, 0] + 1) * 127.5 / 25).astype(int)

  def features(params, images):
    return brightness(images)[:, None].astype(jnp.float32)

  def classify(params, images):
    return jax.nn.one_hot(brightness(images), 10)

  monkeypatch.setattr(classes, "load_classifier", lambda base: Classifier({}, 1.0))
  monkeypatch.setattr(classes, "features", features)
  monkeypatch.setattr(classes, "classify", classify)
  monkeypatch.setattr(
    classes, "classify_images", lambda p, x: Outputs(features(p, x), classify(p, x))
  )


def pictures(labels):
  images = np.zeros((len(labels), 4, 4, 1), np.uint8)
  images[:, 0, 0, 0] = LEVELS[labels]
  return images


def base():
  labels = np.arange(200) % 10
  return Images("digits", pictures(labels), labels, pictures(labels[:50]), labels[:50])


def test_classes_and_features_of_images():
  known = ClassifierMeasures(of_images(base()))
  samples = pictures(np.array([3, 3, 3, 7])) / 127.5 - 1
  seen = known.inspect(samples.astype(np.float32))
  np.testing.assert_array_equal(seen["classes"], [3, 3, 3, 7])
  values = known.measure(seen)
  assert values["n_classes"] == 2
  shares = np.array([0.75, 0.25])
  np.testing.assert_allclose(values["class_kl"], np.sum(shares * np.log(shares / 0.1)), rtol=1e-5)
  held_out = np.arange(50) % 10
  means = (held_out.mean() - 4) ** 2
  spread = (held_out.std(ddof=1) - np.std([3, 3, 3, 7], ddof=1)) ** 2
  np.testing.assert_allclose(values["frechet"], means + spread, rtol=1e-5)
  assert values["precision"] == 1
  assert values["recall"] == 1  # The fourth neighbour is 4 classes away: all are covered.


def test_classes_are_compared_with_those_of_the_training_images():
  train, test = np.repeat([3, 7], [60, 20]), np.repeat([3, 7], [20, 20])
  known = ClassifierMeasures(
    of_images(Images("digits", pictures(train), train, pictures(test), test))
  )
  values = known.measure(known.inspect(np.float32(pictures(train) / 127.5 - 1)))
  assert values["class_kl"] == pytest.approx(0, abs=1e-6)


def test_a_collapse_is_precise_and_recalls_little():
  """All samples are threes: they are among the real ones, of which they cover the threes only."""
  known = ClassifierMeasures(of_images(base()))
  values = known.measure(known.inspect(np.float32(pictures(np.full(10, 3)) / 127.5 - 1)))
  assert values["precision"] == 1
  assert values["recall"] == pytest.approx(0.1)


def test_what_is_readable_is_sure_and_near(monkeypatch):
  """Of each class there are five, at distance 0: only equal features are near."""
  known = ClassifierMeasures(of_images(base()))

  def readable(labels, confidence):
    seen = known.inspect(np.float32(pictures(np.array(labels)) / 127.5 - 1))
    return known.measure(seen | {"confidence": np.array(confidence)})["readable"]

  assert readable([3, 3, 5, 7], [1, 0.91, 0.9, 0.89]) == 0.5
  assert readable([3, 3, 5, 7], [1, 1, 1, 1]) == 1
  seen = known.inspect(np.float32(pictures(np.arange(4)) / 127.5 - 1))
  seen |= {
    "confidence": np.ones(4),
    "features": seen["features"] + np.array([[0], [0], [0.1], [20]]),
  }
  assert known.measure(seen)["readable"] == 0.5


def test_the_confidence_is_the_probability_of_the_class():
  known = ClassifierMeasures(of_images(base()))
  seen = known.inspect(np.float32(pictures(np.arange(3)) / 127.5 - 1))
  np.testing.assert_allclose(seen["confidence"], np.e / (np.e + 9), rtol=1e-6)


def test_samples_drawn_in_a_program_are_classified_alike():
  known = ClassifierMeasures(of_images(base()))

  def sample(key, n):
    return jnp.asarray(base().train_images[:10]).repeat(n // 10, axis=0) / 127.5 - 1

  seen = jax.jit(lambda key: known.look({}, sample, key))(jax.random.key(0))
  np.testing.assert_array_equal(np.bincount(seen["classes"]), np.full(10, known.n_samples // 10))
  assert seen["features"].shape == (known.n_samples, 1)
  assert seen["confidence"].shape == (known.n_samples,)


def test_stacked_images_have_a_thousand_classes():
  stacked = of_images(stack(base()), base())
  known = ClassifierMeasures(stacked)
  assert known.shares.shape == (1000,)
  seen = known.inspect(stacked.held_out)
  np.testing.assert_array_equal(seen["classes"], stacked.images.test_labels[:500])
  assert seen["features"].shape == (50, 3)
  assert seen["confidence"].shape == (50,)

  def sample(key, n):
    return jnp.asarray(stacked.held_out)[jnp.arange(n) % 50]

  drawn = jax.jit(lambda key: known.look({}, sample, key))(jax.random.key(0))
  assert drawn["classes"].shape == (26_000,)


def colour(labels):
  """Images in colour; all but their first channel are noise."""
  noise = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4, 2)).astype(np.uint8)
  return np.concatenate([pictures(labels), noise], -1)


def test_an_image_in_colour_is_one_image():
  labels = np.arange(200) % 10
  data = of_images(Images("own", colour(labels), labels, colour(labels[:50]), labels[:50]))
  known = ClassifierMeasures(data)
  assert known.n_samples == classes.N_FEATURES_OF
  np.testing.assert_allclose(known.shares, np.full(10, 0.1))
  seen = known.inspect(data.held_out)
  np.testing.assert_array_equal(seen["classes"], labels[:50])
  assert seen["features"].shape == (50, 1)


@pytest.mark.parametrize("names", [(), ("a", "b", "c")])
def test_shares_are_of_any_number_of_classes(names):
  """Of those that have a name; without names of those that have a training image."""
  labels = np.array([0, 1, 1, 1] * 5)
  known = ClassifierMeasures(
    of_images(Images("own", pictures(labels), labels, pictures(labels), labels, names))
  )
  np.testing.assert_allclose(known.shares, [0.25, 0.75, 0][: len(names) or 2])


def test_class_agreement_is_the_share_of_the_class_asked_for():
  assert class_agreement(np.array([1, 2, 3, 3]), np.array([1, 2, 3, 0])) == 0.75
  for wrong in [(np.zeros(2), np.zeros(3)), (np.zeros(0), np.zeros(0))]:
    with pytest.raises(ValueError, match="those asked for"):
      class_agreement(*wrong)


def test_samples_with_the_classes_asked_for_are_compared_with_them():
  """One in ten of them is of another class than was asked for."""
  known = ClassifierMeasures(of_images(base()))
  known.n_samples = 2 * classes.N_FEATURES_OF

  def sample(key, n):
    asked = jnp.arange(n) % 10
    images = jnp.asarray(pictures(np.arange(10)))[jnp.where(asked == 3, 4, asked)]
    return images / 127.5 - 1, asked

  seen = jax.jit(lambda key: known.look({}, sample, key))(jax.random.key(0))
  assert seen["asked"].shape == (known.n_samples,)
  assert known.measure(jax.device_get(seen))["class_agreement"] == pytest.approx(0.9)
  assert "class_agreement" not in known.measure(known.inspect(of_images(base()).held_out))


def test_samples_that_are_not_finite_have_no_measures():
  known = ClassifierMeasures(of_images(base()))
  seen = known.inspect(of_images(base()).held_out)
  seen["features"] = seen["features"] * np.nan
  view = rows.View(rows.Run(None, None, None, known), None, known={classes.classified: seen})
  measures = classes._measured(view)
  assert {row.name for row in classes.rows()} == set(measures)
  assert np.isnan(list(measures.values())).all()


def test_points_have_no_classifier():
  assert load_classifier_measures(load_dataset("ring")) is None
