"""The classifier: it learns, from its key alone, and sees each image by itself."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit

from wgan_jax.data.images import to_unit
from wgan_jax.networks import classifier
from wgan_jax.networks.classifier import N_FEATURES, train_classifier

KEY = jax.random.key(0)

classify, features = jit(classifier.classify), jit(classifier.features)
train = jit(functools.partial(train_classifier, n_steps=60, batch_size=32))


def make_problem(seed, n):
  """Images 8 x 12 x 2 of ten classes: a block at one of five places, at one of two levels."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 10, n).astype(np.int32)
  images = rng.integers(0, 30, (n, 8, 12, 2)).astype(np.uint8)
  for image, label in zip(images, labels, strict=True):
    image[2:6, 2 * (label % 5) + 1 : 2 * (label % 5) + 3, label % 2] += np.uint8(
      80 + 110 * (label // 5)
    )
  return images, labels


@pytest.fixture(scope="module")
def params():
  return train(KEY, *make_problem(0, 200))


def test_it_generalises(params):
  images, labels = make_problem(1, 200)
  logits = classify(params, to_unit(images))
  chex.assert_shape(logits, (200, 10))
  assert (logits.argmax(1) == labels).mean() > 0.97


def test_the_key_decides_and_the_data_is_an_argument(params):
  data = make_problem(0, 200)
  chex.assert_trees_all_equal(train(KEY, *data), params)
  other = train(jax.random.key(1), *data)
  assert all((a != b).any() for a, b in zip(*map(jax.tree.leaves, (params, other)), strict=True))
  jaxpr = jax.make_jaxpr(functools.partial(train_classifier, n_steps=5))(KEY, *data)
  assert max((np.size(const) for const in jaxpr.consts), default=0) < 100
  assert "random_seed" not in str(jaxpr)


def test_features_are_what_the_logits_are_made_of(params):
  images = to_unit(make_problem(1, 20)[0])
  seen = features(params, images)
  chex.assert_shape(seen, (20, N_FEATURES))
  assert (np.ptp(seen, axis=0) > 1e-3).all()  # None is dead.
  last = params["Dense_1"]
  np.testing.assert_allclose(
    classify(params, images), seen @ last["kernel"] + last["bias"][None], rtol=1e-5, atol=1e-5
  )


def test_the_features_of_an_image_do_not_depend_on_its_batch(params):
  images = to_unit(make_problem(1, 20)[0])
  others = images.at[:3].set(-1.0).at[4:].set(1.0)
  np.testing.assert_array_equal(features(params, others)[3], features(params, images)[3])


def test_every_pixel_counts(params):
  gradient = jit(jax.grad(lambda images: jnp.sum(classifier.features(params, images))))
  assert (gradient(to_unit(make_problem(0, 50)[0])) != 0).any(0).all()


def test_shifts_are_by_up_to_a_pixel_along_each_axis():
  """All nine, each as often as the others: within 5 sigma of n / 9."""
  n = 2000
  image = np.zeros((4, 8, 2), np.uint8)
  image[2, 5] = 9, 7
  shifted = np.asarray(jit(classifier._shift)(KEY, np.stack([image] * n)))
  assert shifted.dtype == np.uint8
  rows, columns = np.array([np.argwhere(each[..., 0] == 9)[0] for each in shifted]).T
  assert (shifted[np.arange(n), rows, columns] == [9, 7]).all()
  assert shifted.astype(int).sum() == n * 16  # Black comes in.
  counts = np.histogram2d(rows - 2, columns - 5, bins=3, range=[(-1.5, 1.5)] * 2)[0]
  assert counts.sum() == n
  assert np.abs(counts - n / 9).max() < 5 * np.sqrt(n * 8 / 81)


def test_bad_arguments_stop_at_the_door(params):
  images, labels = make_problem(0, 20)
  with pytest.raises(ValueError, match=r"multiples of 4, got \(8, 10, 2\)"):
    train_classifier(KEY, images[:, :, :10], labels, n_steps=1)
  for bad in [(to_unit(images), labels), (images, labels[1:]), (images, labels.astype(float))]:
    with pytest.raises(AssertionError):
      train_classifier(KEY, *bad, n_steps=1)
  for bad in (images, to_unit(images)[0]):
    with pytest.raises(AssertionError):
      classify(params, bad)
