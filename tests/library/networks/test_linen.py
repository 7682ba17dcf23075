"""Modules that are no critics are refused with one sentence."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import wgan_jax
from wgan_jax.networks.linen import as_critic
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
