"""The fully connected pair, for points and for images."""

import chex
import jax
import jax.numpy as jnp
import pytest
from helpers.compiling import jit

from wgan_jax.layers import apply_layers
from wgan_jax.networks import mlp

KEY = jax.random.key(0)


@pytest.mark.parametrize("shape", [(2,), (6, 6, 1)])
def test_shapes_and_every_entry_counts(shape):
  pair = mlp(shape, latent_dim=3, width=16, depth=2)

  @jit
  def run(key):
    params, batch_stats = pair.generator.init(key)
    assert batch_stats == {}
    latents = jax.random.normal(key, (4, 3))
    samples, batch_stats = pair.generator.apply(params, {}, latents, train=True)
    assert batch_stats == {}
    chex.assert_shape(samples, (4, *shape))
    critic_params = pair.critic.init(key)
    assert len(critic_params) == 2 + 1
    chex.assert_shape(pair.critic.apply(critic_params, samples[0]), ())
    return jax.grad(pair.critic.apply, argnums=1)(critic_params, samples[0])

  assert (run(KEY) != 0).all()


def test_output_bounds_images_and_nothing_bounds_points():
  latents = 100 * jax.random.normal(KEY, (8, 3))
  for output, bounded in [(jnp.tanh, True), (lambda x: x, False)]:
    pair = mlp((2,), latent_dim=3, width=16, output=output)
    params, _ = jit(pair.generator.init)(KEY)
    samples, _ = pair.generator.apply(params, {}, latents, train=False)
    assert (abs(samples).max() <= 1) == bounded


def test_scores_keep_their_scale_through_the_layers():
  """He-normal weights: the mean square of a hidden layer stays that of the input."""
  pair = mlp((256,), latent_dim=3, width=256, depth=6)
  x = jax.random.normal(KEY, (64, 256))
  scores = jit(lambda x: jax.vmap(pair.critic.apply, (None, 0))(pair.critic.init(KEY), x))(x)
  assert 0.2 < float(jnp.sqrt(jnp.mean(scores**2))) < 5


@pytest.mark.parametrize(("shape", "depth"), [((2,), 1), ((6, 6, 1), 3), ((3,), 0)])
def test_the_layers_are_the_critic(shape, depth):
  """All weights count, biases too: a certificate of the layers is one of the critic."""
  critic = mlp(shape, latent_dim=3, width=16, depth=depth).critic

  @jit
  def scores(x):
    params = jax.tree.map(lambda leaf: leaf + 0.1, critic.init(KEY))
    return apply_layers(critic.layers(params), x), critic.apply(params, x)

  for x in jax.random.normal(KEY, (3, *shape)):
    chex.assert_trees_all_close(*scores(x), rtol=1e-5)
