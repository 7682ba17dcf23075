"""Critics that are 1-Lipschitz by construction: certified, tight, and their estimate a distance."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.compiling import jit

from wgan_jax.constraints import CONSTRAINTS, Constraint, one_lipschitz, orthonormal
from wgan_jax.layers import Conv, Dense, Flatten, MaxMin, Opaque, Pointwise
from wgan_jax.lipschitz import certified_distance, certify, operator_norm
from wgan_jax.losses import wasserstein_estimate
from wgan_jax.networks import mlp
from wgan_jax.penalties import gradient_norms
from wgan_jax.types import Network

KEY = jax.random.key(0)
MOST = 1 + 1e-5
NAMES = list(CONSTRAINTS)
SHORT = ["orthonormal", *(pytest.param(n, marks=pytest.mark.campaign) for n in ("spectral", "aol"))]


def draw(*shape, scale=1.0):
  return scale * jax.random.normal(jax.random.fold_in(KEY, sum(shape)), shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 8), (8, 8), (8, 1), (20, 6), (6, 20)])
def test_no_kernel_is_above_one_at_any_scale(name, shape):
  bound = jit(CONSTRAINTS[name].dense)
  for scale in (1e-30, 1e-3, 1.0, 1e4, 1e30):
    kernel = bound(draw(*shape, scale=scale))
    norm = operator_norm(Dense(kernel, jnp.zeros(shape[1])), shape[:1])
    assert 0.3 < norm < MOST
  assert not bound(jnp.zeros(shape)).any()
  assert jnp.isnan(bound(jnp.full(shape, jnp.nan))).all()


def test_spectral_and_orthonormal_kernels_reach_one():
  for name in ("spectral", "orthonormal"):
    values = np.linalg.svd(jit(CONSTRAINTS[name].dense)(draw(20, 6)), compute_uv=False)
    assert 0.995 < values[0] < 1
  assert values[-1] > 0.995  # All of them.


def test_an_orthonormal_kernel_stays_as_it_is():
  basis, _ = np.linalg.qr(np.asarray(draw(9, 5)))
  np.testing.assert_allclose(jit(orthonormal)(basis), basis, atol=1e-5)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 3)])
@pytest.mark.parametrize("padding", ["SAME", "VALID", ((1, 0), (-1, 2))])
def test_almost_orthogonal_convolutions_are_certified(stride, padding):
  bound = jit(CONSTRAINTS["aol"].conv)
  for scale in (1e-30, 1.0, 1e30):
    kernel = bound(draw(3, 4, 2, 5, scale=scale))
    norm = operator_norm(Conv(kernel, jnp.zeros(5), stride, padding), (7, 8, 2))
    assert 0.05 < norm < MOST
  assert not bound(jnp.zeros((3, 3, 2, 2))).any()


def test_maxmin_sorts_pairs_and_keeps_the_norm_of_a_gradient():
  x = jnp.array([3.0, 5.0, -1.0, -2.0])
  np.testing.assert_array_equal(MaxMin()(x), [5.0, 3.0, -1.0, -2.0])
  slopes = jax.jacobian(MaxMin())(x)
  np.testing.assert_array_equal(slopes @ slopes.T, np.eye(4))
  with pytest.raises(ValueError, match="a width of 3 is odd"):
    MaxMin()(x[:3])
  assert certify([MaxMin(), Dense(jnp.ones((4, 1)), jnp.zeros(1))], (4,)).bound >= 2


@pytest.mark.parametrize("name", SHORT)
def test_a_critic_is_certified_and_its_gradients_are_finite(name):
  critic = one_lipschitz(mlp((3,), latent_dim=2, width=8).critic, CONSTRAINTS[name])
  params = jit(critic.init)(KEY)
  for scale in (0.0, 1.0, 100.0):
    scaled = jax.tree.map(lambda leaf, scale=scale: scale * leaf, params)
    assert certify(critic.layers(scaled), (3,)).bound < MOST

  def spread(params, x):
    return jnp.sum(gradient_norms(lambda x: critic.apply(params, x), x))

  slopes = jit(jax.grad(spread))(params, draw(4, 3))
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


@pytest.mark.parametrize("name", SHORT)
def test_the_estimate_is_nearly_the_distance(name):
  """Of two Gaussians 4 apart, on samples that training did not see."""
  critic = one_lipschitz(mlp((2,), latent_dim=2, width=16, depth=2).critic, CONSTRAINTS[name])
  optimizer = optax.adam(optax.linear_schedule(1e-2, 0.0, 300))
  shift = jnp.array([4.0, 0.0])

  def scores(params, key, n):
    noise = jax.random.normal(key, (n, 2))
    score = jax.vmap(lambda x: critic.apply(params, x))
    return score(noise + shift[None]), score(noise)

  def loss(params, key):
    return -wasserstein_estimate(*scores(params, key, 64))

  @jit
  def train(key):
    params = critic.init(key)

    def step(carry, key):
      params, state = carry
      updates, state = optimizer.update(jax.grad(loss)(params, key), state)
      return (optax.apply_updates(params, updates), state), None

    carry = params, optimizer.init(params)
    (params, _), _ = jax.lax.scan(step, carry, jax.random.split(key, 300))
    return params, wasserstein_estimate(*scores(params, jax.random.fold_in(key, 1), 500))

  params, estimate = train(KEY)
  bound = certify(critic.layers(params), (2,)).bound
  assert bound < MOST
  assert (0.99 if name == "orthonormal" else 0.8) * 4 < certified_distance(estimate, bound) < 4


def test_what_has_no_form_is_refused():
  def critic(*layers):
    return one_lipschitz(Network(None, None, lambda params: layers), CONSTRAINTS["spectral"])

  with pytest.raises(ValueError, match="without layers"):
    one_lipschitz(Network(None, None), CONSTRAINTS["aol"])
  conv = Conv(jnp.ones((1, 1, 1, 1)), jnp.zeros(1), (1, 1), "SAME")
  for layer in (conv, Opaque(jnp.sum, "LayerNorm")):
    with pytest.raises(ValueError, match="has no 1-Lipschitz form"):
      critic(layer).layers(None)
  kept = critic(Flatten(), Pointwise(jnp.tanh, 1.0), MaxMin()).layers(None)
  assert kept == [Flatten(), MaxMin(), MaxMin()]
  assert Constraint(orthonormal).conv is None
