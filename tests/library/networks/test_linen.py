"""Modules that are no critics are refused with one sentence."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wgan_jax
from wgan_jax.networks.linen import as_critic, as_generator
from wgan_jax.penalties import interpolate

KEY, SAMPLE = jax.random.key(0), jnp.ones(3)


class Critic(nn.Module):
  """A dense layer, with something before it that is called with a batch or a sample."""

  before: nn.Module | None = None
  squeeze: bool = True

  @nn.compact
  def __call__(self, x):
    x = x if self.before is None else self.before(x)
    score = nn.Dense(1)(x)
    return score[0] if self.squeeze else score


@pytest.mark.parametrize(
  ("module", "words"),
  [
    (Critic(nn.BatchNorm(use_running_average=False)), "no batch normalisation .* batch_stats"),
    (Critic(nn.Dropout(0.5, deterministic=False)), "draws random numbers, such as dropout"),
    (Critic(squeeze=False), r"ONE score, of shape \[\], got \[1\]"),
  ],
)
def test_what_is_no_function_of_one_sample_and_parameters(module, words):
  with pytest.raises(ValueError, match=words):
    as_critic(module, SAMPLE).init(KEY)


def test_a_critic_is_taken():
  critic = as_critic(Critic(), SAMPLE)
  assert critic.apply(critic.init(KEY), SAMPLE).shape == ()


def test_a_network_of_ones_own_that_gives_no_single_score_is_refused_too():
  pair = wgan_jax.Pair(
    critic=wgan_jax.Network(lambda key: {"w": jnp.ones((3, 1))}, lambda p, x: x @ p["w"]),
    generator=wgan_jax.Network(
      lambda key: ({"b": jnp.zeros(3)}, {}), lambda p, stats, z, *, train: (z + p["b"][None], stats)
    ),
    latent_dim=3,
  )
  config = wgan_jax.Config(penalty=wgan_jax.Penalty(interpolate, wgan_jax.penalize), batch_size=2)
  training = wgan_jax.make_training(config, pair, lambda key, data, n: jnp.ones((n, 3)))
  hparams = wgan_jax.Hparams()
  with pytest.raises(ValueError, match=r"ONE sample to ONE score, of shape \[\], got \[1\]"):
    jax.eval_shape(training.step, training.init(KEY, hparams), hparams, None)


class ClassCritic(nn.Module):
  """<x, w[label]>; without a label the score of class 0 and the products with all."""

  @nn.compact
  def __call__(self, x, label=None):
    products = nn.Dense(3, use_bias=False)(x)
    return (products[0], products) if label is None else products[label]


class ClassGenerator(nn.Module):
  """A row of the weights for each label, plus the latents; it takes whether to train last."""

  @nn.compact
  def __call__(self, latents, labels, train):
    rows = self.param("rows", nn.initializers.normal(), (3, 2))
    return latents + rows[labels] * (2 if train else 1)


def test_a_critic_takes_the_class_as_second_argument():
  critic = as_critic(ClassCritic(), SAMPLE, n_classes=3)
  params = critic.init(KEY)
  labels = jnp.array([2, 0])
  scores = jax.vmap(critic.apply, (None, None, 0))(params, SAMPLE, labels)
  np.testing.assert_allclose(scores, (SAMPLE @ params["Dense_0"]["kernel"])[labels], rtol=1e-6)
  assert critic.classify is None


def test_a_critic_that_classifies_is_called_without_the_class():
  critic = as_critic(ClassCritic(), SAMPLE, n_classes=3, classify=True)
  params = critic.init(KEY)
  score, logits = critic.classify(params, SAMPLE)
  np.testing.assert_allclose(logits, SAMPLE @ params["Dense_0"]["kernel"], rtol=1e-6)
  for label in range(3):
    assert critic.apply(params, SAMPLE, label) == score == logits[0]


def test_a_generator_takes_the_classes_as_second_argument():
  generator = as_generator(ClassGenerator(), 2, n_classes=3)
  params, stats = generator.init(KEY)
  latents, labels = jnp.ones((4, 2)), jnp.array([2, 0, 1, 2])
  for train in (False, True):
    samples, same = generator.apply(params, stats, latents, labels, train=train)
    np.testing.assert_allclose(samples, 1 + params["rows"][labels] * (1 + train), rtol=1e-6)
    assert same == stats == {}


def test_labels_are_integers_one_a_sample():
  critic = as_critic(ClassCritic(), SAMPLE, n_classes=3)
  generator = as_generator(ClassGenerator(), 2, n_classes=3)
  params, variables = critic.init(KEY), generator.init(KEY)
  for label in (jnp.float32(1), jnp.array([1])):
    with pytest.raises(AssertionError):
      critic.apply(params, SAMPLE, label)
  for labels in (jnp.zeros(4), jnp.zeros(3, int), jnp.int32(0)):
    with pytest.raises(AssertionError):
      generator.apply(*variables, jnp.ones((4, 2)), labels, train=False)


@pytest.mark.parametrize(
  ("make", "words"),
  [
    (
      lambda: as_critic(Critic(), SAMPLE, n_classes=1),
      "n_classes must be 2 or more, or 0 .* got 1",
    ),
    (lambda: as_critic(Critic(), SAMPLE, classify=True), "classifies needs n_classes of 2 or more"),
    (lambda: as_generator(ClassGenerator(), 2, n_classes=-1), "n_classes must be 2 or more"),
    (
      lambda: as_critic(ClassCritic(), SAMPLE, n_classes=4, classify=True).init(KEY),
      r"ONE score and logits of shape \[4\], a pair, got \[\], \[3\]",
    ),
    (
      lambda: as_critic(Critic(), SAMPLE, n_classes=3, classify=True).init(KEY),
      r"ONE score and logits of shape \[3\], a pair, got \[\]",
    ),
  ],
)
def test_classes_that_do_not_fit_the_module_are_refused(make, words):
  with pytest.raises(ValueError, match=words):
    make()
