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
train = jit(functools.partial(train_classifier, n_classes=10, n_steps=60, batch_size=32))


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


def make_colours(seed, n):
  """Images 17 x 22 x 3 of three classes, by the channel that is the brightest on the whole."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 3, n).astype(np.int32)
  images = rng.integers(0, 150, (n, 17, 22, 3)).astype(np.uint8)
  images[np.arange(n), :, :, labels] += 100
  return images, labels


@pytest.fixture(scope="module")
def params():
  return train(KEY, *make_problem(0, 200))


@pytest.fixture(scope="module")
def params_of_colours():
  function = functools.partial(train_classifier, n_classes=3, n_steps=30, batch_size=16)
  return jit(function)(KEY, *make_colours(0, 100))


def test_it_generalises(params):
  images, labels = make_problem(1, 200)
  logits = classify(params, to_unit(images))
  chex.assert_shape(logits, (200, 10))
  assert (logits.argmax(1) == labels).mean() > 0.97


@pytest.mark.campaign
def test_it_generalises_on_images_in_colour_of_any_size(params_of_colours):
  images, labels = make_colours(1, 100)
  logits = classify(params_of_colours, to_unit(images))
  chex.assert_shape(logits, (100, 3))
  assert (logits.argmax(1) == labels).mean() > 0.9


def test_few_images_of_many_classes_train_to_finite_parameters():
  """Of a thousand classes one has two images, another one image, and the others none."""
  images = np.random.default_rng(0).integers(0, 256, (3, 9, 10, 1)).astype(np.uint8)
  function = functools.partial(train_classifier, n_classes=1000, n_steps=3, batch_size=4)
  params = jit(function)(KEY, images, np.array([999, 0, 0], np.int32))
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
  chex.assert_shape(params["Dense_1"]["bias"], (1000,))


@pytest.mark.parametrize("side", [16, 33, 64, 100, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_are_brought_to_about_the_same_size(side, channels):
  """The convolutions end at 2 x 2 to 8 x 8 pixels, so that the head is never large."""
  images = jax.ShapeDtypeStruct((2, side, side + 5, channels), jnp.uint8)
  labels = jax.ShapeDtypeStruct((2,), jnp.int32)
  function = functools.partial(train_classifier, n_classes=2, n_steps=1)
  params = jax.eval_shape(function, KEY, images, labels)
  assert params["Dense_0"]["kernel"].shape[0] <= 128 * 64


def test_the_key_decides_and_the_data_is_an_argument(params):
  data = make_problem(0, 200)
  chex.assert_trees_all_equal(train(KEY, *data), params)
  other = train(jax.random.key(1), *data)
  assert all((a != b).any() for a, b in zip(*map(jax.tree.leaves, (params, other)), strict=True))
  function = functools.partial(train_classifier, n_classes=10, n_steps=5)
  jaxpr = jax.make_jaxpr(function)(KEY, *data)
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


@pytest.mark.parametrize("colour", [False, True])
def test_the_features_of_an_image_do_not_depend_on_its_batch(colour, params, params_of_colours):
  params, make = (params_of_colours, make_colours) if colour else (params, make_problem)
  images = to_unit(make(1, 20)[0])
  others = images.at[:3].set(-1.0).at[4:].set(1.0)
  np.testing.assert_array_equal(features(params, others)[3], features(params, images)[3])
  np.testing.assert_array_equal(features(params, images[::-1])[16], features(params, images)[3])


@pytest.mark.parametrize("colour", [False, True])
def test_every_pixel_counts(colour, params, params_of_colours):
  params, make = (params_of_colours, make_colours) if colour else (params, make_problem)
  gradient = jit(jax.grad(lambda images: jnp.sum(classifier.features(params, images))))
  assert (gradient(to_unit(make(0, 50)[0])) != 0).any(0).all()


def test_shifts_are_by_up_to_a_pixel_along_each_axis():
  """All nine, each as often as the others: within 5 sigma of n / 9."""
  n = 2000
  image = np.zeros((4, 8, 2), np.uint8)
  image[2, 5] = 9, 7
  shifted = np.asarray(jit(classifier._augment)(KEY, np.stack([image] * n)))
  assert shifted.dtype == np.uint8
  rows, columns = np.array([np.argwhere(each[..., 0] == 9)[0] for each in shifted]).T
  assert (shifted[np.arange(n), rows, columns] == [9, 7]).all()
  assert shifted.astype(int).sum() == n * 16  # Black comes in.
  counts = np.histogram2d(rows - 2, columns - 5, bins=3, range=[(-1.5, 1.5)] * 2)[0]
  assert counts.sum() == n
  assert np.abs(counts - n / 9).max() < 5 * np.sqrt(n * 8 / 81)


def test_images_in_colour_are_shifted_by_a_sixteenth_and_flipped():
  """A step of 5 a column, so that a row shows where it is from, and in which direction."""
  n = 1000
  image = np.zeros((32, 48, 3), np.uint8)
  image[...] = (np.arange(48) * 5)[None, :, None]
  moved = np.asarray(jit(classifier._augment)(KEY, np.stack([image] * n)))
  assert moved.dtype == np.uint8
  middle = moved[:, 8, 23:25, 1].astype(int)
  direction = middle[:, 1] - middle[:, 0]
  assert set(direction) == {-5, 5}
  assert abs(np.mean(direction == 5) - 0.5) < 5 * 0.5 / np.sqrt(n)
  shifts = np.where(direction == 5, middle[:, 0] // 5 - 23, middle[:, 0] // 5 - 24)
  assert set(shifts) == {-2, -1, 0, 1, 2}
  left = moved[(direction == 5) & (shifts == -2)][0, 0, :4, 0]
  np.testing.assert_array_equal(left, [10, 5, 0, 5])  # Filled by reflection.
  grey = np.asarray(jit(classifier._augment)(KEY, np.stack([image[..., :1].repeat(2, 0)] * n)))
  assert (np.diff(grey[:, 8, 20:30, 0].astype(int), axis=1) >= 0).all()  # Never flipped.


def test_bad_arguments_stop_at_the_door(params):
  images, labels = make_problem(0, 20)
  for bad in [(to_unit(images), labels), (images, labels[1:]), (images, labels.astype(float))]:
    with pytest.raises(AssertionError):
      train_classifier(KEY, *bad, n_classes=10, n_steps=1)
  for bad in (images, to_unit(images)[0]):
    with pytest.raises(AssertionError):
      classify(params, bad)
