"""The fully connected pair, for points and for images."""

import chex
import jax
import jax.numpy as jnp
import pytest

from wgan_jax.layers import apply_layers
from wgan_jax.networks import mlp

KEY = jax.random.key(0)


@pytest.mark.parametrize("shape", [(2,), (6, 6, 1)])
def test_shapes_and_every_entry_counts(shape):
  pair = mlp(shape, latent_dim=3, width=16, depth=2)
  params, batch_stats = pair.generator.init(KEY)
  assert batch_stats == {}
  samples, batch_stats = pair.generator.apply(
    params, {}, jax.random.normal(KEY, (4, 3)), train=True
  )
  assert batch_stats == {}
  chex.assert_shape(samples, (4, *shape))
  critic_params = pair.critic.init(KEY)
  assert len(critic_params) == 2 + 1
  chex.assert_shape(pair.critic.apply(critic_params, samples[0]), ())
  assert (jax.grad(pair.critic.apply, argnums=1)(critic_params, samples[0]) != 0).all()


def test_output_bounds_images_and_nothing_bounds_points():
  latents = 100 * jax.random.normal(KEY, (8, 3))
  for output, bounded in [(jnp.tanh, True), (lambda x: x, False)]:
    pair = mlp((2,), latent_dim=3, width=16, output=output)
    samples, _ = pair.generator.apply(*pair.generator.init(KEY), latents, train=False)
    assert (abs(samples).max() <= 1) == bounded


def test_scores_keep_their_scale_through_the_layers():
  """He-normal weights: the mean square of a hidden layer stays that of the input."""
  pair = mlp((256,), latent_dim=3, width=256, depth=6)
  x = jax.random.normal(KEY, (64, 256))
  scores = jax.vmap(pair.critic.apply, (None, 0))(pair.critic.init(KEY), x)
  assert 0.2 < float(jnp.sqrt(jnp.mean(scores**2))) < 5


@pytest.mark.parametrize(("shape", "depth"), [((2,), 1), ((6, 6, 1), 3), ((3,), 0)])
def test_the_layers_are_the_critic(shape, depth):
  """In all weights, biases too: a certificate of the layers is one of the critic."""
  critic = mlp(shape, latent_dim=3, width=16, depth=depth).critic
  params = jax.tree.map(lambda leaf: leaf + 0.1, critic.init(KEY))
  for x in jax.random.normal(KEY, (3, *shape)):
    score = apply_layers(critic.layers(params), x)
    chex.assert_trees_all_close(score, critic.apply(params, x), rtol=1e-5)
