"""What every pair of images keeps to: each pixel counts, the layers are the critic, the range."""

import chex
import jax
import jax.export
import jax.numpy as jnp
import pytest
from helpers.compiling import jit
from helpers.problems import draw_like

from wgan_jax.layers import apply_layers
from wgan_jax.networks import dcgan, infogan

KEY = jax.random.key(0)
SHAPE = (8, 12, 3)
MAKERS = {"dcgan": dcgan, "infogan": infogan}


@pytest.fixture(scope="module", params=MAKERS)
def pair(request):
  return MAKERS[request.param](SHAPE, latent_dim=4, width=2)


@pytest.fixture(scope="module")
def critic_params(pair):
  return draw_like(jax.eval_shape(pair.critic.init, KEY))


def test_every_pixel_counts(pair, critic_params):
  """No unpadded stride that leaves the last rows and columns unseen."""
  image = jax.random.uniform(KEY, SHAPE, minval=-1.0)
  gradient = jit(jax.grad(pair.critic.apply, argnums=1))(critic_params, image)
  assert gradient.shape == SHAPE
  assert (gradient != 0).all()


def test_the_layers_are_the_critic(pair, critic_params):
  """All weights count, biases too: a certificate of the layers is one of the critic."""
  params = jax.tree.map(lambda leaf: leaf + 0.1, critic_params)

  @jit
  def scores(params, image):
    return apply_layers(pair.critic.layers(params), image), pair.critic.apply(params, image)

  x = jax.random.uniform(KEY, SHAPE, minval=-1.0)
  for image in (x, -5 * x, jnp.zeros(SHAPE)):
    chex.assert_trees_all_close(*scores(params, image), rtol=1e-4)


def test_no_bias_before_a_normalisation(pair):
  """Only the last layer has one; each of the others has a normalisation after it."""
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  with_bias = {name for name, layer in params.items() if "bias" in layer}
  assert with_bias == {"Conv_1", *stats}


def test_samples_are_images_in_range(pair):
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  params, stats = draw_like(params, 1.0), jax.tree.map(lambda x: jnp.ones(x.shape), stats)
  latents = 10 * jax.random.normal(KEY, (16, pair.latent_dim))
  generate = jit(pair.generator.apply, static_argnames="train")
  for train in (True, False):
    samples, _ = generate(params, stats, latents, train=train)
    chex.assert_shape(samples, (16, *SHAPE))
    assert jnp.abs(samples).max() <= 1


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_size_that_does_not_fit_is_refused(make):
  with pytest.raises(ValueError, match="multiples of 4"):
    make((30, 28, 1), latent_dim=2, width=2)


def test_both_networks_are_exported_for_any_batch(pair, critic_params):
  """With a symbolic batch, which no rule of a convolution may compare with a number."""
  (n,) = jax.export.symbolic_shape("n")
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  latents = jax.ShapeDtypeStruct((n, pair.latent_dim), jnp.float32)

  def sample_and_score(params, stats, critic_params, latents):
    samples, _ = pair.generator.apply(params, stats, latents, train=False)
    return jax.vmap(lambda x: pair.critic.apply(critic_params, x))(samples)

  exported = jax.export.export(jax.jit(sample_and_score))(params, stats, critic_params, latents)
  variables = draw_like(params), jax.tree.map(lambda x: jnp.ones(x.shape), stats)
  assert exported.call(*variables, critic_params, jnp.zeros((3, pair.latent_dim))).shape == (3,)
