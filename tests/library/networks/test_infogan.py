"""The pair with a categorical code: what the category does, and that the critic sees one sample."""

import chex
import jax
import jax.numpy as jnp
import pytest
from helpers.compiling import jit
from helpers.problems import draw_like

from wgan_jax.layers import apply_layers
from wgan_jax.networks import infogan

KEY = jax.random.key(0)
SHAPE = (8, 12, 3)
N_CATEGORIES = 5


@pytest.fixture(scope="module")
def pair():
  return infogan(SHAPE, latent_dim=4, width=2, n_categories=N_CATEGORIES)


@pytest.fixture(scope="module")
def critic_params(pair):
  return draw_like(jax.eval_shape(pair.critic.init, KEY))


@pytest.fixture(scope="module")
def generate(pair):
  """latents -> samples in sampling mode, of one generator with weights large enough to differ."""
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  params, stats = draw_like(params, 1.0), jax.tree.map(lambda x: jnp.ones(x.shape), stats)
  return jit(lambda latents: pair.generator.apply(params, stats, latents, train=False)[0])


def test_every_pixel_counts(pair, critic_params):
  image = jax.random.uniform(KEY, SHAPE, minval=-1.0)
  gradient = jit(jax.grad(pair.critic.apply, argnums=1))(critic_params, image)
  assert gradient.shape == SHAPE
  assert (gradient != 0).all()


def test_the_layers_are_the_critic(pair, critic_params):
  params = jax.tree.map(lambda leaf: leaf + 0.1, critic_params)

  @jit
  def scores(params, image):
    return apply_layers(pair.critic.layers(params), image), pair.critic.apply(params, image)

  x = jax.random.uniform(KEY, SHAPE, minval=-1.0)
  for image in (x, -5 * x, jnp.zeros(SHAPE)):
    chex.assert_trees_all_close(*scores(params, image), rtol=1e-4)


def test_the_first_latents_only_choose_a_category(pair, generate):
  """The largest decides, whatever its size; the others change nothing, and each category draws."""
  assert pair.latent_dim == N_CATEGORIES + 4
  normal = jnp.tile(jnp.arange(4.0), (N_CATEGORIES, 1))
  small = jnp.concatenate([0.1 * jnp.eye(N_CATEGORIES), normal], axis=1)
  large = jnp.concatenate([9 * jnp.eye(N_CATEGORIES) - 5, normal], axis=1)
  samples = generate(small)
  chex.assert_shape(samples, (N_CATEGORIES, *SHAPE))
  chex.assert_trees_all_equal(samples, generate(large))
  apart = jnp.abs(samples[:, None] - samples[None]).max(axis=(2, 3, 4))
  assert (apart + jnp.eye(N_CATEGORIES) > 1e-3).all()


def test_the_other_latents_draw_too(generate):
  latents = jnp.zeros((4, N_CATEGORIES + 4)).at[:, N_CATEGORIES:].set(3 * jnp.eye(4))
  samples = generate(latents)
  apart = jnp.abs(samples[:, None] - samples[None]).max(axis=(2, 3, 4))
  assert (apart + jnp.eye(4) > 1e-3).all()


def test_samples_are_images_in_range(pair, generate):
  latents = 10 * jax.random.normal(KEY, (16, pair.latent_dim))
  assert jnp.abs(generate(latents)).max() <= 1


def test_no_bias_before_a_normalisation(pair):
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  with_bias = {name for name, layer in params.items() if "bias" in layer}
  assert with_bias == {"Conv_1", *stats}


def test_a_size_that_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="multiples of 4"):
    infogan((30, 28, 1), latent_dim=2, width=2)
