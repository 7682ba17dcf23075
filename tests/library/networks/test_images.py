"""What every pair of images keeps to: each pixel counts, the layers are the critic, the range."""

import re

import chex
import jax
import jax.export
import jax.numpy as jnp
import pytest
from helpers.compiling import jit
from helpers.problems import draw_like

from wgan_jax.layers import apply_layers
from wgan_jax.networks import dcgan, infogan, resnet

KEY = jax.random.key(0)
SHAPE = (16, 20, 3)
MAKERS = {"dcgan": dcgan, "infogan": infogan, "resnet": resnet}


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
  """The last layer has one, and a dense layer whose outputs are not of one channel only."""
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  with_bias = {
    jax.tree_util.keystr(path[:-1])
    for path, _ in jax.tree_util.tree_leaves_with_path(params)
    if path[-1].key == "bias"
  }
  norms = {
    jax.tree_util.keystr(path[:-1]) for path, _ in jax.tree_util.tree_leaves_with_path(stats)
  }
  last = {"['Conv_0']", "['Dense_0']"} if "GeneratorBlock_0" in params else {"['Conv_1']"}
  assert with_bias == last | norms


def test_samples_are_images_in_range(pair):
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  params, stats = draw_like(params, 1.0), jax.tree.map(lambda x: jnp.ones(x.shape), stats)
  latents = 10 * jax.random.normal(KEY, (16, pair.latent_dim))
  generate = jit(pair.generator.apply, static_argnames="train")
  for train in (True, False):
    samples, _ = generate(params, stats, latents, train=train)
    chex.assert_shape(samples, (16, *SHAPE))
    assert jnp.abs(samples).max() <= 1


@pytest.mark.parametrize(
  ("make", "shape", "words"),
  [
    (infogan, (30, 28, 1), "multiples of 4"),
    *((make, shape, f"16 to 128 pixels, got {re.escape(str(shape))}$")
      for make in (dcgan, resnet) for shape in [(15, 28, 1), (28, 129, 3)]),
  ],
)  # fmt: skip
def test_a_size_that_does_not_fit_is_refused(make, shape, words):
  with pytest.raises(ValueError, match=words):
    make(shape, latent_dim=2, width=2)


@pytest.mark.parametrize("make", [dcgan, resnet])
@pytest.mark.parametrize("size", [(16, 16), (17, 23), (32, 48), (128, 16), (127, 128)])
def test_any_size_from_16_to_128(make, size):
  """Odd and not square too: samples have it, and the critic takes them."""
  shape = (*size, 3)
  pair = make(shape, latent_dim=2, width=2)

  def score_one():
    samples, _ = pair.generator.apply(*pair.generator.init(KEY), jnp.zeros((2, 2)), train=False)
    chex.assert_shape(samples, (2, *shape))
    return pair.critic.apply(pair.critic.init(KEY), samples[0])

  assert jax.eval_shape(score_one).shape == ()


@pytest.mark.parametrize(
  ("make", "size"), [(dcgan, (17, 23)), (dcgan, (33, 35)), (resnet, (33, 35))]
)
def test_every_pixel_of_an_odd_size_counts(make, size):
  """For the critic, and in the generator, which crops what it doubled."""
  shape = (*size, 1)
  pair = make(shape, latent_dim=2, width=4)
  params = draw_like(jax.eval_shape(pair.critic.init, KEY), 0.3)
  variables = draw_like(jax.eval_shape(pair.generator.init, KEY), 0.3)
  variables = variables[0], jax.tree.map(jnp.ones_like, variables[1])
  latents = jax.random.normal(KEY, (8, 2))

  @jit
  def compute(params, variables, image):
    samples, _ = pair.generator.apply(*variables, latents, train=False)
    return jax.grad(pair.critic.apply, argnums=1)(params, image), jnp.std(samples, axis=0)

  for spread in compute(params, variables, jax.random.uniform(KEY, shape, minval=-1.0)):
    assert spread.shape == shape
    assert (spread != 0).all()


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
