"""The pair with a categorical code: what the category does, and the latents beside it."""

import chex
import jax
import jax.numpy as jnp
import pytest
from helpers.compiling import jit
from helpers.problems import draw_like

from wgan_jax.networks import infogan

KEY = jax.random.key(0)
SHAPE = (8, 12, 3)
N_CATEGORIES = 5


@pytest.fixture(scope="module")
def pair():
  return infogan(SHAPE, latent_dim=4, width=2, n_categories=N_CATEGORIES)


@pytest.fixture(scope="module")
def generate(pair):
  """latents -> samples in sampling mode, of one generator with weights large enough to differ."""
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  params, stats = draw_like(params, 1.0), jax.tree.map(lambda x: jnp.ones(x.shape), stats)
  return jit(lambda latents: pair.generator.apply(params, stats, latents, train=False)[0])


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
