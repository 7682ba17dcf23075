"""Bounds of Lipschitz constants against closed forms."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.problems import draw_like

from wgan_jax import lipschitz, operator_norm
from wgan_jax.constraints import CONSTRAINTS, one_lipschitz
from wgan_jax.data.toy import load_toy, potential, true_wasserstein
from wgan_jax.layers import Conv, Dense, Flatten, Opaque, Pointwise, apply_layers
from wgan_jax.lipschitz import (
  bound_clipped,
  certified_distance,
  certify,
  confident_distance,
  largest_gradient_norm,
)
from wgan_jax.losses import wasserstein_estimate
from wgan_jax.networks import dcgan, mlp, resnet
from wgan_jax.penalties import gradient_norms
from wgan_jax.transport import wasserstein_1d

KEY = jax.random.key(0)
RELU = Pointwise(jax.nn.relu, 1.0)


def search(critic_fn, low, high, starts=None, **options):
  function = functools.partial(largest_gradient_norm, KEY, critic_fn, **options)
  return jit(function)(low, high, starts)


def test_the_square_is_not_1_lipschitz():
  """On [-1, 1] its slope is 2 at |x| = 1; on [-1/2, 1/2] at most 1."""
  find = jit(functools.partial(largest_gradient_norm, KEY, jnp.square))
  for half_width, steepest in [(1.0, 2.0), (0.5, 1.0)]:
    norm, point = find(-half_width, half_width)
    assert norm.shape == point.shape == ()
    np.testing.assert_allclose(norm, steepest, rtol=1e-6)
    np.testing.assert_allclose(abs(point), half_width, rtol=1e-6)
    assert norm <= steepest


def test_the_search_stays_in_its_box():
  """c = |x|^2 / 2: the farthest corner is steepest, in a box of its own ends for each entry."""
  low = jnp.array([[-1.0, 2.0], [-3.0, 0.0]])
  high = jnp.array([[0.5, 2.5], [1.0, 0.0]])

  # Drawn points, and starts alone, far outside: one climbs from where the box is nearest to it.
  for options in ({}, {"starts": jnp.array([[[-9.0, 0.0], [-0.1, 8.0]]]), "n_points": 0}):
    norm, point = search(lambda x: jnp.sum(x**2) / 2, low, high, **options)
    assert ((low <= point) & (point <= high)).all()
    np.testing.assert_allclose(point, [[-1.0, 2.5], [-3.0, 0.0]], rtol=1e-5)
    np.testing.assert_allclose(norm, np.sqrt(1 + 2.5**2 + 9), rtol=1e-5)


def test_the_norm_is_the_gradient_norm_at_the_point():
  """Whichever climber wins: of these searches not each is won by the one that started highest."""
  critic = mlp((3,), latent_dim=2, width=16).critic
  params = draw_like(jax.eval_shape(critic.init, KEY), 0.3)
  critic_fn = functools.partial(critic.apply, params)
  ones = jnp.ones(3)

  @jit
  @jax.vmap
  def searches(key):
    return largest_gradient_norm(key, critic_fn, -ones, ones, n_points=16, n_steps=20)

  norms, points = searches(jax.random.split(KEY, 8))
  expected = jit(functools.partial(gradient_norms, critic_fn))(points)
  np.testing.assert_allclose(norms, expected, rtol=1e-6)


def test_a_critic_of_one_slope():
  """A linear critic of images: |w| everywhere, though no step is better than another."""
  w = np.random.default_rng(0).normal(size=(28, 28, 1)).astype(np.float32)
  norm, _ = search(lambda x: jnp.vdot(w, x), -np.ones_like(w), np.ones_like(w), n_steps=2)
  np.testing.assert_allclose(norm, np.linalg.norm(w), rtol=1e-5)


def test_own_starts_find_what_no_draw_would():
  """A steep spike of width 1e-3 in ten dimensions, beside a start given near it."""
  center = jnp.full(10, 0.3)

  def spike(x):
    return jnp.exp(-jnp.sum((x - center) ** 2) / 2e-6)

  spike_search = jit(functools.partial(largest_gradient_norm, KEY, spike))
  low, high = -jnp.ones(10), jnp.ones(10)
  assert spike_search(low, high, -center[None])[0] == 0
  norm, point = spike_search(low, high, (center + 1e-3)[None])
  # max of r / s^2 exp(-r^2 / 2 s^2), at r = s = 1e-3.
  np.testing.assert_allclose(norm, 1e3 * math.exp(-0.5), rtol=1e-3)
  np.testing.assert_allclose(jnp.linalg.norm(point - center), 1e-3, rtol=0.05)


def test_random_steps_climb_where_the_norm_is_piecewise_constant():
  """A pyramid of ReLUs: slope 4 in each of 8 entries within 1/4 of its top, 2e-5 of the box."""

  def pyramid(x):
    return sum(jnp.sum(jax.nn.relu(size - abs(x - 0.3))) for size in (0.25, 0.5, 0.75, 1.0))

  ones = jnp.ones(8)
  drawn, _ = search(pyramid, -ones, ones, n_points=16, n_steps=0)
  climbed, _ = search(pyramid, -ones, ones, n_points=16, n_steps=500)
  assert drawn < 10
  np.testing.assert_allclose(climbed, 4 * math.sqrt(8), rtol=1e-6)


def test_half_of_the_drawn_points_are_corners():
  """Without a step: where the slope is largest in the corners, and where it is 0 there."""
  ones = jnp.ones(3)
  middle = jnp.zeros((1, 3))  # A start takes no drawn point's place.
  norm, point = search(lambda x: jnp.sum(x**2) / 2, -ones, ones, middle, n_points=64, n_steps=0)
  np.testing.assert_array_equal(abs(point), ones)
  np.testing.assert_allclose(norm, math.sqrt(3), rtol=1e-6)
  norm, _ = search(lambda x: jnp.sum(x - x**3 / 3), -ones, ones, n_points=64, n_steps=0)
  assert 1 < norm <= math.sqrt(3)


def test_a_climber_moves_about_on_a_plateau():
  """c = <1, x> from the middle of a box: all points are as good, and it does not stay."""
  ones = jnp.ones(3)
  _, point = search(jnp.sum, -ones, ones, jnp.zeros((1, 3)), n_points=0, n_steps=1)
  assert bool((point != 0).all())


def test_the_scale_of_a_critic_does_not_matter_to_its_search():
  """Steps have the length of their radius, whatever the slope of the norm."""
  ones = jnp.ones(2)

  @jit
  def search_scaled(scale):
    def critic(x):
      return scale * jnp.sum(jnp.sin(3 * x) * jnp.cos(x[::-1]))

    return largest_gradient_norm(KEY, critic, -ones, ones, n_points=8, n_steps=8)

  (norm, point), (scaled, same) = search_scaled(1.0), search_scaled(2.0**-20)
  np.testing.assert_allclose(scaled * 2**20, norm, rtol=1e-6)
  np.testing.assert_allclose(same, point, rtol=1e-5)


def test_only_the_steepest_points_climb():
  """The second start would find a spike of slope 6. The slope at the first, 1/2, is larger."""
  center = jnp.full(10, -0.3)

  def critic(x):
    return 0.01 * jnp.exp(-jnp.sum((x - center) ** 2) / 2e-6) + jax.nn.relu(x[0]) / 2

  ones = jnp.ones(10)
  starts = jnp.stack([-center, center + 1e-3])
  norm, _ = search(critic, -ones, ones, starts, n_points=0, n_climbers=1, n_steps=50)
  np.testing.assert_allclose(norm, 0.5, rtol=1e-6)


def test_an_empty_box_gives_no_number():
  low, high = jnp.array([0.0, 1.0]), jnp.array([1.0, 0.0])
  norm, _ = search(jnp.sum, low, high, n_points=4, n_steps=1)
  assert jnp.isnan(norm)


def test_a_box_of_integers_is_refused():
  """Its points between the corners would be rounded."""
  with pytest.raises(AssertionError, match="float"):
    lipschitz.largest_gradient_norm(KEY, jnp.sum, jnp.zeros(2, int), jnp.ones(2, int))


def test_a_nan_gradient_somewhere_makes_the_norm_nan():
  """Also one of infinity minus infinity, whose sign is negative: it is sorted below all numbers."""

  def critic(x):
    slope = jnp.where(x[0] > 0.5, jnp.inf, 1.0)
    return 2 * slope * x.sum() - slope * x.sum()

  norm, _ = lipschitz.largest_gradient_norm(
    KEY, critic, jnp.zeros(2), jnp.ones(2), n_points=16, n_steps=1
  )
  assert jnp.isnan(norm)


def test_a_nan_gradient_makes_the_norm_nan():
  """One point in hundreds is enough. An infinite slope is found as such."""
  start = jnp.zeros(1)
  for critic_fn, expected in [
    (lambda x: jnp.sqrt(x * x), jnp.nan),
    (lambda x: jnp.sqrt(abs(x)), jnp.inf),
  ]:
    norm, _ = search(critic_fn, -1.0, 1.0, start, n_steps=3)
    np.testing.assert_equal(float(norm), expected)


def test_a_norm_without_a_gradient_does_not_stop_the_search():
  """c = x^(3/2) on [0, 1]: the norm's own slope is infinite at the start 0; 3/2 is found at 1."""
  norm, point = search(lambda x: x**1.5, 0.0, 1.0, jnp.zeros(1), n_points=0)
  np.testing.assert_allclose([norm, point], [1.5, 1.0], rtol=1e-6)


def test_certificate_of_a_chain():
  """diag(2, 1), then 3 |x|, then a row of norm 5: at most 30, and reached along (1, 0) here."""
  layers = [
    Flatten(),
    Dense(jnp.diag(jnp.array([2.0, 1.0])), jnp.array([0.0, 9.0])),
    Pointwise(lambda x: 3 * jnp.abs(x), 3.0),
    Dense(jnp.array([[5.0], [0.0]]), jnp.zeros(1)),
  ]
  bound, norms, why = certify(layers, (2, 1))
  np.testing.assert_allclose(norms, [1, 2, 3, 5], rtol=2e-6)
  assert 30 <= bound <= 30 * (1 + 4e-6)
  assert why == ""
  ones = jnp.ones((2, 1))
  steepest, _ = search(functools.partial(apply_layers, layers), -ones, ones, n_steps=10)
  np.testing.assert_allclose(steepest, 30, rtol=1e-6)


@pytest.mark.parametrize(
  "make", [functools.partial(mlp, width=16), functools.partial(dcgan, width=4)]
)
def test_no_gradient_exceeds_the_certificate(make):
  critic = make((16, 16, 1), latent_dim=2).critic
  params = draw_like(jax.eval_shape(critic.init, KEY), 0.3)
  ones = np.ones((16, 16, 1), np.float32)
  critic_fn = functools.partial(critic.apply, params)
  norm, _ = search(critic_fn, -ones, ones, n_points=64, n_steps=5)
  bound = certify(critic.layers(params), ones.shape).bound
  assert bound / 100 < norm <= bound


def test_no_certificate_without_a_bound():
  dense = Dense(jnp.ones((4, 4)), jnp.zeros(4))
  opaque = Opaque(lambda x: x[:1] / (1 + abs(x[1:2])), "LayerNorm")
  bound, norms, why = certify([dense, RELU, opaque], (4,))
  assert bound == math.inf
  assert norms[2] == math.inf
  assert why.startswith("no certificate: layer 3 of 3 (LayerNorm)")
  # Nor where a zero comes before or after it.
  zero = Dense(jnp.zeros((1, 1)), jnp.zeros(1))
  assert certify([opaque, zero], (4,)).bound == math.inf
  assert certify([zero, Opaque(jnp.sqrt, "root")], (1,)).bound == math.inf
  root = Pointwise(lambda x: jnp.sqrt(abs(x)), math.inf)
  assert "layer 1 of 2 (Pointwise)" in certify([root, zero], (1,)).why
  huge = Dense(jnp.full((1, 1), 1e38), jnp.zeros(1))
  assert "overflows" in certify([huge] * 10, (1,)).why


def test_products_are_rounded_up():
  """Ten layers of 1e-38 are not 0; a zero layer is."""
  tiny, zero = (Dense(jnp.full((1, 1), w), jnp.ones(1)) for w in (1e-37, 0.0))
  assert certify([tiny] * 10, (1,)).bound > 0
  assert certify([tiny, zero, tiny], (1,)) == (0.0, certify([tiny, zero, tiny], (1,)).norms, "")


def test_a_chain_that_is_no_critic_is_refused():
  dense = Dense(jnp.ones((4, 1)), jnp.zeros(1))
  conv = Conv(np.ones((4, 4, 2, 3)), np.zeros(3), (2, 2), "SAME")
  for layers, shape, message in [
    ([dense], (3,), r"layer 1 of 1 \(Dense\): expected an input of shape \(4\), got \(3,\)"),
    ([RELU, dense], (2, 4), r"layer 2 of 2 \(Dense\): expected .* \(4\), got \(2, 4\)"),
    ([conv], (6, 6, 1), r"\(height, width, 2\), got \(6, 6, 1\)"),
    ([conv._replace(padding="VALID")], (3, 6, 2), "no place"),
    ([dense._replace(kernel=dense.kernel.at[1, 0].set(jnp.nan))], (4,), "1 of 4 kernel entries"),
    ([dense._replace(bias=jnp.array([jnp.inf]))], (4,), "1 of 1 bias entries"),
    ([Pointwise(jnp.tanh, -1.0), dense], (4,), "at least 0, got -1.0"),
    ([Pointwise(jnp.tanh, math.nan), dense], (4,), "at least 0, got nan"),
    ([Opaque(lambda x: x @ jnp.ones((2, 1)), "pool"), dense], (4,), r"layer 1 of 2 \(pool\)"),
    ([RELU], (4,), r"ends in one score, these layers in shape \(4,\)"),
  ]:
    with pytest.raises(ValueError, match=message):
      certify(layers, shape)


def test_certified_distance():
  """c(x) = 4 x and a shift by 3: the bound is the distance. With noise, it is below."""
  layers = [Dense(jnp.full((1, 1), 4.0), jnp.ones(1))]
  bound = certify(layers, (1,)).bound
  score = jax.vmap(functools.partial(apply_layers, layers))
  x, noise = jax.random.normal(KEY, (2, 50, 1))
  for y, tight in [(x + 3.0, True), (x + 3.0 * noise, False)]:
    distance = float(wasserstein_1d(x[:, 0], y[:, 0]))
    certified = certified_distance(wasserstein_estimate(score(y), score(x)), bound)
    if tight:
      np.testing.assert_allclose(certified, distance, rtol=1e-5)
    assert certified <= distance * (1 + 1e-6)
  assert certified_distance(-2.0, 4.0) == 0.5  # The critic's negative is as Lipschitz.
  assert certified_distance(2.0, 4.0) == 0.5
  assert certified_distance(2.0, math.inf) == 0
  assert certified_distance(2.0, 0.0) == 0
  for estimate, bound in [(math.nan, 1.0), (math.inf, 1.0), (1.0, -1.0), (1.0, math.nan)]:
    with pytest.raises(ValueError, match="must be"):
      certified_distance(estimate, bound)


def test_a_layer_that_is_too_large_has_no_certificate(monkeypatch):
  layers = [Dense(jnp.ones((3, 2)), jnp.zeros(2)), Dense(jnp.ones((2, 1)), jnp.zeros(1))]
  assert certify(layers, (3,)).bound < 10
  monkeypatch.setattr(operator_norm, "_MOST_ROWS", 1)
  certificate = certify(layers, (3,))
  assert certificate.bound == math.inf
  assert certificate.why.startswith("no certificate: layer 1 of 2 (Dense)")


def make_mlp():
  return (3,), mlp((3,), latent_dim=2, width=4)


def make_dcgan():
  return (16, 16, 1), dcgan((16, 16, 1), latent_dim=2, width=2)


def make_resnet():
  return (16, 17, 1), resnet((16, 17, 1), latent_dim=2, width=2)


def gaussians(rng, n):
  """Scores of the optimal critic of N(2, 1/4) and N(-2, 1/4): the distance is 4."""
  return rng.normal(2, 0.5, n), rng.normal(-2, 0.5, n), 4.0


def exponentials(rng, n):
  """Scores of x itself, optimal between exponentials of means 2 and 1, whose distance is 1."""
  return rng.exponential(2, n), rng.exponential(1, n), 1.0


@functools.cache
def drawn_funnels():
  toy = load_toy("funnels", n_funnels=16)
  pairs = jax.jit(toy.sample_coupling, static_argnums=2)(KEY, toy.data, 2**18)
  score = jax.jit(jax.vmap(lambda x: -potential(toy.data, x)))
  true, _ = true_wasserstein(toy, jax.random.key(1))
  return np.asarray(score(pairs.real)), np.asarray(score(pairs.fake)), true


def funnels(rng, n):
  """Scores of the optimal critic of 16 funnels, whose distance is known by their coupling."""
  real, fake, true = drawn_funnels()
  return rng.choice(real, n), rng.choice(fake, n), true


@pytest.mark.parametrize("problem", [gaussians, exponentials, funnels])
def test_the_bound_is_below_the_distance_as_often_as_it_says(problem):
  """1,000 simulations, of the least favourable critic: the optimal one leaves no room."""
  rng = np.random.default_rng(0)
  for confidence, least, most in [(0.95, 0.93, 0.97), (0.5, 0.46, 0.54)]:
    covered = []
    for _ in range(1000):
      real, fake, true = problem(rng, 500)
      covered.append(confident_distance(3 * real, 3 * fake, 3.0, confidence=confidence) <= true)
    assert least <= np.mean(covered) <= most


def test_a_bound_of_few_or_equal_scores():
  assert confident_distance(np.full(3, 2.0), np.zeros(2), 0.5) == 4
  assert confident_distance(np.zeros(3), np.ones(2), 1.0) == 0  # The other way round it shows none.
  assert confident_distance(np.arange(9.0), np.zeros(9), math.inf) == 0
  for each in (np.zeros(9), np.full(9, 0.1)):  # One side all equal.
    assert 2 < confident_distance(np.arange(9.0), each, 1.0) < 4
    assert 2 < confident_distance(-each, -np.arange(9.0), 1.0) < 4
  for real, words in [(np.ones(1), "two scores"), (np.array([1.0, np.nan]), "finite")]:
    with pytest.raises(ValueError, match=words):
      confident_distance(real, np.zeros(2), 1.0)
  with pytest.raises(ValueError, match=r"between 0 and 1, got 95"):
    confident_distance(np.ones(2), np.zeros(2), 1.0, confidence=95)


@pytest.mark.parametrize("make", [make_mlp, make_dcgan, make_resnet])
def test_no_clipped_critic_is_above_its_bound(make):
  shape, pair = make()
  critic = pair.critic
  bound = bound_clipped(critic, shape)
  shapes = jax.eval_shape(critic.init, KEY)
  for c in (0.03, 0.5):
    full = jax.tree.map(lambda leaf, c=c: jnp.full(leaf.shape, c), shapes)
    reached = certify(critic.layers(full), shape).bound
    np.testing.assert_allclose(bound(c), reached, rtol=1e-5)
    random = jax.tree.map(lambda leaf, c=c: jnp.clip(leaf, -c, c), draw_like(shapes, c))
    assert certify(critic.layers(random), shape).bound < bound(c)


def test_critics_whose_bound_does_not_follow_from_their_weights():
  pair = mlp((2,), latent_dim=2, width=4)
  bounded = one_lipschitz(pair.critic, CONSTRAINTS["aol"])
  with pytest.raises(ValueError, match="Dense: the kernel is no parameter"):
    bound_clipped(bounded, (2,))
  with pytest.raises(ValueError, match="without layers"):
    bound_clipped(pair.critic._replace(layers=None), (2,))
  opaque = pair.critic._replace(layers=lambda params: [Opaque(jnp.sum, "sum")])
  with pytest.raises(ValueError, match="Opaque has no Lipschitz bound"):
    bound_clipped(opaque, (2,))
