"""What the papers looked at, against closed forms."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wgan_jax import diagnostics
from wgan_jax.layers import Conv, Dense, Flatten, Opaque, Pointwise
from wgan_jax.losses import LOSSES, cross_entropy_critic_loss, wasserstein_critic_loss
from wgan_jax.penalties import clip_params
from wgan_jax.types import Network, Pair

KEY = jax.random.key(0)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_activation_gradients_of_a_linear_chain(scale):
  """dL/dh_i of a sample is +-1/n times the product of the later weights: it decays as they do.

  With weights of 1e-6 norms reach 1e-24, whose squares float32 does not hold.
  """
  weights = scale * np.array([5.0, 3.0, 0.5, 2.0, 7.0], np.float32)
  layers = [Dense(jnp.full((1, 1), w), jnp.ones(1)) for w in weights]
  real, fake = jnp.ones((4, 1)), jnp.zeros((2, 1))
  norms = jax.jit(functools.partial(
    diagnostics.activation_gradient_norms, layers, wasserstein_critic_loss
  ))(real, fake)  # fmt: skip
  later = [math.prod(weights[i + 1 :].astype(float)) for i in range(5)]
  # 4 samples of 1/4 and 2 of 1/2.
  np.testing.assert_allclose(norms, np.sqrt(1 / 4 + 1 / 2) * np.array(later), rtol=1e-5)


def test_activation_gradients_by_finite_differences():
  """Through a convolution, activations and an opaque layer, one linear layer's output at a time."""
  with jax.enable_x64(True):
    keys = jax.random.split(KEY, 6)
    smooth = Pointwise(jnp.tanh, 1.0)
    layers = [
      Conv(jax.random.normal(keys[0], (3, 3, 1, 2)), jnp.ones(2), (2, 2), "SAME"),
      smooth,
      Opaque(lambda x: x / jnp.sqrt(1 + jnp.sum(x**2)), "RootNorm"),
      Flatten(),
      Dense(jax.random.normal(keys[1], (8, 3)), jnp.zeros(3)),
      smooth,
      Dense(jax.random.normal(keys[2], (3, 1)), jnp.zeros(1)),
    ]
    real, fake = jax.random.normal(keys[3], (2, 4, 4, 1)), jax.random.normal(keys[4], (3, 4, 4, 1))
    loss = cross_entropy_critic_loss

    def run(layers, x):
      return functools.reduce(lambda x, layer: jax.vmap(layer.__call__)(x), layers, x)

    def numeric_norm(end):
      hidden = run(layers[:end], jnp.concatenate([real, fake]))

      def along(direction):
        scores = run(layers[end:], hidden + 1e-5 * direction.reshape(hidden.shape)).ravel()
        return loss(scores[:2], scores[2:])

      basis = jnp.eye(hidden.size)
      return jnp.linalg.norm((jax.vmap(along)(basis) - jax.vmap(along)(-basis)) / 2e-5)

    def both():
      numeric = [numeric_norm(end) for end in (1, 5, 7)]
      return diagnostics.activation_gradient_norms(layers, loss, real, fake), jnp.stack(numeric)

    norms, expected = jax.jit(both)()
    np.testing.assert_allclose(norms, expected, rtol=1e-6)


def linear_pair() -> Pair:
  """g(z) = a z + b, scored c(x) = w x + v: a closed form for every loss. Training mode only."""

  def generate(params, batch_stats, latents, *, train):
    assert train
    return params["a"] * latents + jnp.broadcast_to(params["b"], latents.shape), batch_stats

  critic = Network(None, lambda params, x: params["w"] * x[0] + params["v"])
  return Pair(critic, Network(None, generate), 1)


@pytest.mark.parametrize("v", [0.0, -8.0, -70.0])
def test_generator_gradients(v):
  """dL/d(a, b) = mean over z of L'(s) w (z, 1), s the score; L' is -1, d - 1 and -d.

  A discriminator that is sure, d = e^-70, leaves minimax 1e-31 and the others a gradient of 2.
  """
  critic = {"w": jnp.float32(2.0), "v": jnp.float32(v)}
  generator = {"a": jnp.float32(0.5), "b": jnp.ones(1)}
  latents = jnp.array([[-1.0], [0.0], [2.0]])
  norms = jax.jit(functools.partial(diagnostics.generator_gradient_norms, linear_pair()))(
    critic, generator, {}, latents
  )
  z = np.asarray(latents, np.float64)[:, 0]
  d = 1 / (1 + np.exp(-(2 * (0.5 * z + 1) + v)))
  slopes = {"wasserstein": -np.ones(3), "nonsaturating": d - 1, "minimax": -d}
  assert norms.keys() == slopes.keys()
  for name, slope in slopes.items():
    expected = np.hypot(np.mean(slope * 2 * z), np.mean(slope * 2))
    np.testing.assert_allclose(norms[name], expected, rtol=1e-5, err_msg=name)


def test_each_generator_loss_of_fake_scores_is_reported_once_under_its_first_name(monkeypatch):
  """Hinge shares the Wasserstein loss's; the relativistic one needs real scores too."""
  assert list(diagnostics.generator_losses()) == ["wasserstein", "nonsaturating", "minimax"]
  own = LOSSES["hinge"]._replace(generator=lambda fake_scores: -jnp.sum(fake_scores))
  monkeypatch.setitem(LOSSES, "own", own)
  assert list(diagnostics.generator_losses())[-1] == "own"


def test_clipped_share():
  """Entries, not leaves, are counted; both signs; what clipping leaves is at the bound."""
  params = {"a": jnp.array([[0.01, -0.5], [0.0, 0.009]]), "b": jnp.array([-0.01, 3.0])}
  share = jax.jit(diagnostics.clipped_share)
  np.testing.assert_allclose(share(clip_params(params, 0.01), 0.01), 4 / 6, rtol=1e-6)
  assert share(clip_params(params, 0.01), 0.02) == 0
  for clip_value in (0.1, 0.3, 1e-5):
    assert share(clip_params({"w": jnp.full(7, 9.0)}, clip_value), clip_value) == 1


@pytest.mark.parametrize("scale", [1.0, 1e-25])
def test_update_cosine(scale):
  gradients = {"a": scale * jnp.array([3.0, 0.0]), "b": scale * jnp.array([[4.0]])}
  optimizer = optax.sgd(0.1)
  updates, _ = optimizer.update(gradients, optimizer.init(gradients))
  cosine = jax.jit(diagnostics.update_cosine)
  np.testing.assert_allclose(cosine(updates, gradients), 1.0, rtol=1e-6)
  np.testing.assert_allclose(cosine(gradients, gradients), -1.0, rtol=1e-6)
  # One angle over all leaves, not a mean of one for each.
  updates = {"a": jnp.array([-1.0, 0.0]), "b": jnp.array([[0.0]])}
  np.testing.assert_allclose(cosine(updates, gradients), 0.6, rtol=1e-6)
  zero = jax.tree.map(jnp.zeros_like, gradients)
  assert cosine(zero, gradients) == cosine(gradients, zero) == cosine(zero, zero) == 0


def test_adams_step_turns_against_the_gradient():
  """After a gradient that turns round, momentum still goes the old way."""
  optimizer = optax.adam(1e-3, b1=0.9)
  state = optimizer.init(jnp.zeros(2))
  for sign in (1.0, 1.0, -1.0):
    gradient = sign * jnp.ones(2)
    updates, state = optimizer.update(gradient, state)
  np.testing.assert_allclose(diagnostics.update_cosine(updates, gradient), -1.0, rtol=1e-6)
  with pytest.raises(AssertionError):
    diagnostics.update_cosine(updates, jnp.ones((2, 1)))
