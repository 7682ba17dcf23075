"""Critics that are 1-Lipschitz by construction: certified, tight, and their estimate a distance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.spatial
from helpers.compiling import jit
from helpers.problems import draw

from wgan_jax.constraints import CONSTRAINTS, one_lipschitz
from wgan_jax.data.images import load_images, to_unit
from wgan_jax.data.prepare import DataError
from wgan_jax.data.toy import load_toy
from wgan_jax.layers import Dense, Flatten, MaxMin, Opaque, Pointwise, Pool, Sum
from wgan_jax.lipschitz import certified_distance, certify, largest_gradient_norm
from wgan_jax.losses import wasserstein_estimate
from wgan_jax.networks import dcgan, mlp, resnet
from wgan_jax.penalties import gradient_norms
from wgan_jax.transport import wasserstein_exact
from wgan_jax.types import Network

KEY = jax.random.key(0)
MOST = 1 + 1e-5
SHORT = ["orthonormal", *(pytest.param(n, marks=pytest.mark.campaign) for n in ("spectral", "aol"))]


def test_maxmin_sorts_pairs_and_keeps_the_norm_of_a_gradient():
  x = jnp.array([3.0, -2.0, -1.0, 5.0])
  np.testing.assert_array_equal(MaxMin()(x), [3.0, 5.0, -1.0, -2.0])
  slopes = jax.jacobian(MaxMin())(x)
  np.testing.assert_array_equal(slopes @ slopes.T, np.eye(4))
  with pytest.raises(ValueError, match="a width of 3 is odd"):
    MaxMin()(x[:3])
  assert certify([MaxMin(), Dense(jnp.ones((4, 1)), jnp.zeros(1))], (4,)).bound >= 2


PAIRS = {
  "mlp": ((3,), lambda: mlp((3,), latent_dim=2, width=8)),
  "dcgan": ((16, 17, 1), lambda: dcgan((16, 17, 1), latent_dim=2, width=4)),
  "resnet": ((16, 17, 3), lambda: resnet((16, 17, 3), latent_dim=2, width=4)),
}


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize(
  "networks", ["mlp", *(pytest.param(n, marks=pytest.mark.campaign) for n in ("dcgan", "resnet"))]
)
def test_a_critic_is_certified_and_its_gradients_are_finite(name, networks):
  shape, make = PAIRS[networks]
  critic = one_lipschitz(make().critic, CONSTRAINTS[name])
  params = jit(critic.init)(KEY)
  for scale in (0.0, 1.0, 100.0):
    scaled = jax.tree.map(lambda leaf, scale=scale: scale * leaf, params)
    bound = certify(critic.layers(scaled), shape).bound
    assert bound < MOST
    assert bound > 0.99 or name != "orthonormal" or scale == 0

  def spread(params, x):
    return jnp.sum(gradient_norms(lambda x: critic.apply(params, x), x))

  norms, slopes = jit(jax.value_and_grad(spread))(params, draw(4, *shape))
  assert norms < 4 * MOST
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_pools_and_sums_are_bounded():
  """By the singular values of their matrices."""
  for layer in (Pool(), Pool(unit=True), Pool(whole=True), Pool(whole=True, unit=True)):
    for shape in ((4, 6, 2), (5, 4, 1), (5, 7, 1)):
      matrix = jax.jacobian(lambda x, layer=layer: layer(x).ravel())(jnp.zeros(shape))
      exact = np.linalg.norm(np.asarray(matrix).reshape(len(matrix), -1), 2)
      bound = certify([layer, Flatten(), ones(matrix.shape[0])], shape).norms[0]
      np.testing.assert_allclose(bound, exact, rtol=1e-6)
      assert bound >= exact - 1e-7
      assert bound == 1 or not layer.unit
  chains = ([], [Pointwise(jnp.negative, 0.5), ones(2, 2)])
  assert certify([Sum(chains), ones(2)], (2,)).norms[0] == pytest.approx(2, abs=1e-5)
  assert certify([Sum(chains, mean=True), ones(2)], (2,)).norms[0] == pytest.approx(1, abs=1e-5)
  np.testing.assert_allclose(Sum(chains)(jnp.array([1.0, 2.0])), [-2.0, -1.0])
  assert certify([Sum(([], []), mean=True), ones(2)], (2,)).norms[0] == 1
  certificate = certify([Sum(([Opaque(jnp.sin, "sine")],)), ones(2)], (2,))
  assert certificate.bound == np.inf
  assert "layer 1 of 2 (Sum)" in certificate.why


def ones(n_in, n_out=1):
  return Dense(jnp.ones((n_in, n_out)), jnp.zeros(n_out))


def trained(key, critic, sample, optimizer, steps, batch_size):
  """The parameters after so many updates by the difference of scores of `sample(key, n)`."""

  @jax.jit
  def train(key):
    params = critic.init(key)

    def step(carry, key):
      params, state = carry
      slopes = jax.grad(lambda params: -estimate(critic, params, *sample(key, batch_size)))(params)
      updates, state = optimizer.update(slopes, state)
      return (optax.apply_updates(params, updates), state), None

    carry = params, optimizer.init(params)
    return jax.lax.scan(step, carry, jax.random.split(key, steps))[0][0]

  return train(key)


def falling(learning_rate, steps):
  return optax.adam(optax.linear_schedule(learning_rate, 0.0, steps))


def estimate(critic, params, real, fake):
  scores = jax.vmap(lambda x: critic.apply(params, x))(jnp.concatenate([real, fake]))
  return wasserstein_estimate(*jnp.split(scores, 2))


@pytest.mark.campaign
@pytest.mark.parametrize("name", SHORT)
def test_the_estimate_is_nearly_the_distance(name):
  """Of two Gaussians 4 apart, on samples that training did not see."""
  critic = one_lipschitz(mlp((2,), latent_dim=2, width=16, depth=2).critic, CONSTRAINTS[name])

  def sample(key, n):
    noise = jax.random.normal(key, (n, 2))
    return noise + jnp.array([[4.0, 0.0]]), noise

  params = trained(KEY, critic, sample, falling(1e-2, 300), 300, 64)
  bound = certify(critic.layers(params), (2,)).bound
  assert bound < MOST
  certified = certified_distance(estimate(critic, params, *sample(jax.random.key(1), 500)), bound)
  assert (0.99 if name == "orthonormal" else 0.8) * 4 < certified < 4


def test_what_has_no_form_is_refused():
  def critic(*layers):
    return one_lipschitz(Network(None, None, lambda params: layers), CONSTRAINTS["spectral"])

  with pytest.raises(ValueError, match="without layers"):
    one_lipschitz(Network(None, None), CONSTRAINTS["aol"])
  with pytest.raises(ValueError, match="Opaque has no 1-Lipschitz form"):
    critic(Opaque(jnp.sum, "LayerNorm")).layers(None)
  kept = critic(Flatten(), Pointwise(jnp.tanh, 1.0), MaxMin()).layers(None)
  assert kept == [Flatten(), MaxMin(), MaxMin()]


def shifted(shift, sigma):
  """Normal distributions of this deviation, `shift` to either side of 0."""

  def draw(key, n):
    keys = jax.random.split(key)
    real, fake = (sigma * jax.random.normal(key, (n, len(shift))) for key in keys)
    return real + shift[None], fake - shift[None]

  return draw


def ring_and_normal(key, n):
  ring, keys = load_toy("ring"), jax.random.split(key)
  return ring.sample_real(keys[0], ring.data, n), jax.random.normal(keys[1], (n, 2))


def funnels(key, n):
  toy, keys = load_toy("funnels", n_funnels=16), jax.random.split(key)
  fake = jax.random.uniform(keys[1], (n, 2), minval=-2.5, maxval=2.5)
  return toy.sample_real(keys[0], toy.data, n), fake


@pytest.mark.campaign
@pytest.mark.parametrize(
  ("sample", "dim", "low", "high"),
  [
    (shifted(jnp.array([2.0, 0.0]), 0.5), 2, 0.995, 1.0),
    (ring_and_normal, 2, 0.95, 1.0),
    (funnels, 2, 0.88, 1.0),
    # Of the true distance, 2: that of the samples is 9.
    (shifted(jnp.zeros(64).at[0].set(1.0), 1.0), 64, 0.97, 1.03),
  ],
)
def test_certified_bounds_are_near_the_exact_distance(sample, dim, low, high):
  """Of 2,000 samples that training did not see, after 3,000 updates."""
  pair = mlp((dim,), latent_dim=2, width=128, depth=5)
  critic = one_lipschitz(pair.critic, CONSTRAINTS["orthonormal"])
  params = trained(KEY, critic, sample, falling(1e-2, 3000), 3000, 512)
  real, fake = sample(jax.random.key(1), 2000)
  bound = certify(critic.layers(params), (dim,)).bound
  assert bound < MOST
  certified = certified_distance(estimate(critic, params, real, fake), bound)
  exact = 2.0 if dim == 64 else wasserstein_exact(np.asarray(real), np.asarray(fake))
  assert low <= certified / exact <= high


TRAINED = {
  "mlp": (lambda shape: mlp(shape, latent_dim=2, width=64), ("ring", "grid", "swiss_roll"), 500),
  "dcgan": (lambda shape: dcgan(shape, latent_dim=2, width=16), ("digits", "mnist", "cifar10"), 60),
  "resnet": (
    lambda shape: resnet(shape, latent_dim=2, width=4),
    ("digits", "mnist", "cifar10"),
    30,
  ),
}


def real_samples(dataset, n=3000):
  if dataset in TRAINED["mlp"][1]:
    toy = load_toy(dataset)
    return toy.sample_real(KEY, toy.data, n)
  try:
    return to_unit(load_images(dataset).train_images[:n])
  except DataError as error:
    pytest.skip(str(error))


@pytest.mark.campaign
@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("dataset", [0, 1, 2])
@pytest.mark.parametrize("networks", TRAINED)
def test_trained_critics_are_certified_and_no_pair_violates_it(networks, dataset, name):
  """Three seeds; each of a million pairs, at all distances, and of a search."""
  make, datasets, steps = TRAINED[networks]
  real = real_samples(datasets[dataset])
  shape = real.shape[1:]
  critic = one_lipschitz(make(shape).critic, CONSTRAINTS[name])

  def sample(key, n):
    keys = jax.random.split(key)
    batch = real[jax.random.randint(keys[0], (n,), 0, len(real))]
    return batch, 0.6 * jax.random.normal(keys[1], batch.shape)

  def steepest(params, key):
    """The largest |c(x) - c(y)| / |x - y| of all pairs of 1,500 points, less float32's rounding."""
    keys = jax.random.split(key, 3)
    some = jax.random.choice(keys[0], real, (500,), replace=False)
    noise = jax.random.normal(keys[1], some.shape)
    lengths = 10 ** jax.random.uniform(keys[2], (500, *[1] * len(shape)), minval=-2.0)
    points = jnp.concatenate([some, noise, some + lengths * noise])
    scores = jit(jax.vmap(critic.apply, (None, 0)))(params, points)
    scores = np.asarray(scores, np.float64)
    distances = scipy.spatial.distance.pdist(np.asarray(points, np.float64).reshape(1500, -1))
    heights = scipy.spatial.distance.pdist(scores[:, None])
    return np.max((heights - 4e-6 * (1 + abs(scores).max())) / distances)

  for seed in range(3):
    params = trained(jax.random.key(seed), critic, sample, optax.adam(5e-3, b1=0.5), steps, 32)
    bound = certify(critic.layers(params), shape).bound
    assert bound <= MOST
    assert steepest(params, jax.random.key(seed)) <= bound
    if seed == 0:
      ends = jnp.full(shape, 1.5)
      search = functools.partial(largest_gradient_norm, n_points=128, n_climbers=8, n_steps=40)
      found, _ = search(KEY, functools.partial(critic.apply, params), -ends, ends, real[:64])
      assert 0 < found <= MOST
