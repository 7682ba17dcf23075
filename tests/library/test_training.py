"""Training: Algorithm 1 to the letter, one program, the same bytes for the same key."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.problems import points, points_pair, sample_points, shift_pair

import wgan_jax
from wgan_jax import Config, Hparams
from wgan_jax.losses import LOSSES

KEY = jax.random.key(3)
HPARAMS = Hparams(learning_rate=1e-2)


def linear_critic(params, x):
  return jnp.vdot(params["w"], x)


def run(config, pair, sample_real, data, *, hparams=HPARAMS, n_steps=1, key=KEY):
  """`n_steps` jitted steps -> final state, list of Info."""
  training = wgan_jax.make_training(config, pair, sample_real)
  state, infos = training.init(key, hparams), []
  step = jax.jit(training.step)
  for _ in range(n_steps):
    state, info = step(state, hparams, data)
    infos.append(info)
  return state, infos


@pytest.mark.slow
def test_step_is_algorithm_1():
  """The scanned step against plain Python: n_critic penalised updates, then the generator's."""
  config, hparams, data = Config(n_critic=3, batch_size=4), HPARAMS, points()
  pair = points_pair()
  training = wgan_jax.make_training(config, pair, sample_points)
  start = training.init(KEY, hparams)
  state, info = jax.jit(training.step)(start, hparams, data)

  optimizer = optax.adam(1e-2, b1=0.5, b2=0.9)
  critic_params, critic_opt = start.critic_params, optimizer.init(start.critic_params)
  key_critic, key_generator = jax.random.split(jax.random.fold_in(start.key, 0))

  def fakes(params, key):
    return pair.generator.apply(params, {}, jax.random.normal(key, (4, 3)), train=True)[0]

  def critic_loss(params, key, real, fake):
    critic_fn = functools.partial(pair.critic.apply, params)
    wasserstein = wgan_jax.wasserstein_critic_loss(
      jax.vmap(critic_fn)(real), jax.vmap(critic_fn)(fake)
    )
    penalty = wgan_jax.gradient_penalty(key, critic_fn, real, fake)
    return wasserstein + 10 * penalty, (wasserstein, penalty)

  for key in jax.random.split(key_critic, 3):
    key_real, key_latents, key_epsilon = jax.random.split(key, 3)
    real = sample_points(key_real, data, 4)
    fake = fakes(start.generator_params, key_latents)
    (loss, (wasserstein, penalty)), gradients = jax.value_and_grad(critic_loss, has_aux=True)(
      critic_params, key_epsilon, real, fake
    )
    updates, critic_opt = optimizer.update(gradients, critic_opt)
    critic_params = optax.apply_updates(critic_params, updates)

  def generator_loss(params):
    fake = fakes(params, key_generator)
    return wgan_jax.wasserstein_generator_loss(
      jax.vmap(functools.partial(pair.critic.apply, critic_params))(fake)
    )

  gradients = jax.grad(generator_loss)(start.generator_params)
  updates, _ = optimizer.update(gradients, optimizer.init(start.generator_params))
  generator_params = optax.apply_updates(start.generator_params, updates)

  chex.assert_trees_all_close(state.critic_params, critic_params, rtol=2e-4, atol=2e-6)
  chex.assert_trees_all_close(state.generator_params, generator_params, rtol=2e-4, atol=2e-6)
  # Info tells of the last critic update: the signs, and lambda in the loss but not the penalty.
  chex.assert_trees_all_close(info.critic_loss, loss, rtol=1e-4)
  chex.assert_trees_all_close(info.estimate, -wasserstein, rtol=1e-4)
  chex.assert_trees_all_close(info.gradient_penalty, penalty, rtol=1e-4)
  assert int(state.step) == 1


def test_every_update_draws_its_own_batch_latents_and_epsilon():
  """Five critic updates and one generator update: all draws distinct, also between steps."""
  drawn = {"real": [], "latents": [], "norms": []}

  def record(name):
    return lambda value: drawn[name].append(tuple(np.asarray(value).ravel().tolist()))

  def sample_real(key, data, batch_size):
    jax.debug.callback(record("real"), jax.random.key_data(key))
    return jnp.ones((batch_size, 1))

  pair = shift_pair(lambda params, x: jnp.sum(jnp.square(x)) / 2 + 0 * linear_critic(params, x))
  generate = pair.generator.apply

  def recorded_generate(params, batch_stats, latents, *, train):
    # Differentiation may run the pass more than once: equal draws then mean the same pass.
    jax.debug.callback(record("latents"), latents)
    return generate(params, batch_stats, latents, train=train)

  def penalty(norms):
    # With these networks a norm shows nothing but its epsilon.
    jax.debug.callback(record("norms"), jax.lax.stop_gradient(norms))
    return wgan_jax.penalize(norms)

  pair = pair._replace(generator=pair.generator._replace(apply=recorded_generate))
  row = wgan_jax.Penalty(points=wgan_jax.interpolate, cost=penalty)
  config = Config(n_critic=5, batch_size=2, penalty=row)
  run(config, pair, sample_real, None, hparams=Hparams(learning_rate=0.0), n_steps=2)
  jax.effects_barrier()
  assert len(set(drawn["real"])) == 2 * 5
  assert len(set(drawn["norms"])) == 2 * 5
  assert len(set(drawn["latents"])) == 2 * (5 + 1)


def test_running_statistics_move_in_the_generators_update_only():
  config = Config(n_critic=4, batch_size=2)
  state, _ = run(config, shift_pair(linear_critic), lambda *_: jnp.ones((2, 1)), None, n_steps=3)
  assert int(state.batch_stats["count"]) == 3


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", ["none", "clip", "gp"])
@pytest.mark.parametrize("target", [1.0, -1.0])
def test_generator_learns_where_the_data_is(loss, penalty, target):
  """The probe: all data at one point, g(z) = shift. One step brings the exact distance down."""
  pair = shift_pair(linear_critic)
  # The critic starts out pointing away from the data, and must first be turned round; but for the
  # penalty, which would first push the norm to 1 that way.
  start = 0.1 * target if penalty == "gp" else -0.1 * target
  pair = pair._replace(critic=pair.critic._replace(init=lambda key: {"w": jnp.full(1, start)}))
  config = Config(loss=loss, penalty=penalty, n_critic=20, batch_size=2)
  real = jnp.full((2, 1), target)
  state, _ = run(config, pair, lambda *_: real, None, hparams=HPARAMS._replace(beta2=0.999))
  distance = abs(target - float(state.generator_params["shift"][0]))
  assert distance < 1.0


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_clipping_binds_every_parameter_after_the_update(optimizer):
  config = Config(penalty="clip", optimizer=optimizer, n_critic=2, batch_size=4)
  state, infos = run(config, points_pair(), sample_points, points(), n_steps=2)
  extremes = [float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(state.critic_params)]
  assert max(extremes) == np.float32(0.01)
  assert max(jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(state.generator_params)) > 0.01
  assert infos[-1].gradient_penalty == 0
  assert infos[-1].gradient_norm_mean == 0


def test_rmsprop_has_epsilon_outside_the_root():
  """One update of one weight: -lr g / (sqrt((1 - beta2) g^2) + 1e-8), for a tiny gradient g."""
  pair = shift_pair(lambda params, x: 1e-8 * linear_critic(params, x))
  config = Config(penalty="none", optimizer="rmsprop", n_critic=1, batch_size=2)
  hparams = Hparams(learning_rate=0.1, beta2=0.99)
  state, _ = run(config, pair, lambda *_: jnp.ones((2, 1)), None, hparams=hparams)
  g = 1e-8
  expected = 1 + 0.1 * g / (0.1 * g + 1e-8)
  chex.assert_trees_all_close(state.critic_params["w"][0], expected, rtol=1e-5)


def test_a_fixed_generator_keeps_its_parameters_and_settles_its_statistics():
  pair = shift_pair(linear_critic)
  config = Config(penalty="none", n_critic=2, batch_size=2, fixed_generator=True)
  state, infos = run(config, pair, lambda *_: jnp.ones((2, 1)), None, n_steps=3)
  assert state.generator_params["shift"] == 0
  assert state.batch_stats["count"] == 3
  assert state.critic_params["w"] != 1
  assert len(infos) == 3


def test_the_learning_rate_falls_linearly_to_zero():
  """Sign-like steps of size lr: with a constant gradient RMSProp without memory moves by lr."""
  pair = shift_pair(linear_critic)
  config = Config(penalty="none", optimizer="rmsprop", n_critic=1, batch_size=2)
  hparams = Hparams(learning_rate=0.1, beta2=0.0, decay_steps=4.0)
  weights = [1.0]
  for n_steps in range(1, 7):
    state, _ = run(
      config, pair, lambda *_: jnp.full((2, 1), 1e3), None, hparams=hparams, n_steps=n_steps
    )
    weights.append(float(state.critic_params["w"][0]))
  chex.assert_trees_all_close(
    np.diff(weights), 0.1 * np.array([1, 0.75, 0.5, 0.25, 0, 0]), rtol=1e-4
  )


@pytest.mark.parametrize("field", ["learning_rate", "beta1", "beta2", "lambda_gp"])
def test_every_hyperparameter_does_something(field):
  states = []
  for hparams in (HPARAMS, HPARAMS._replace(**{field: 0.3 * getattr(HPARAMS, field)})):
    state, _ = run(
      Config(batch_size=4, n_critic=2),
      points_pair(),
      sample_points,
      points(),
      hparams=hparams,
      n_steps=2,
    )
    states.append(state.critic_params)
  with pytest.raises(AssertionError):
    chex.assert_trees_all_close(*states, rtol=1e-6)


def test_penalties_differ_and_a_users_own_is_used():
  params = {}
  one_sided = functools.partial(wgan_jax.penalize, target=1.0, one_sided=True)
  own = wgan_jax.Penalty(points=wgan_jax.interpolate, cost=one_sided)
  for name, penalty in {"gp": "gp", "one_sided": "gp_one_sided", "own": own}.items():
    state, infos = run(
      Config(penalty=penalty, batch_size=4), points_pair(), sample_points, points(), n_steps=2
    )
    params[name] = state.critic_params
    assert infos[-1].gradient_norm_max >= infos[-1].gradient_norm_mean > 0
  chex.assert_trees_all_equal(params["own"], params["one_sided"])
  with pytest.raises(AssertionError):
    chex.assert_trees_all_close(params["gp"], params["one_sided"], rtol=1e-6)


def test_one_compilation_for_every_length_and_hyperparameter():
  training = wgan_jax.make_training(Config(batch_size=4), points_pair(), sample_points)
  chex.clear_trace_counter()
  step = chex.assert_max_traces(n=1)(training.step)
  chunk = jax.jit(chex.assert_max_traces(n=1)(wgan_jax.make_chunk(step, 8)))
  state = training.init(KEY, HPARAMS)
  for n_steps, learning_rate in [(3, 1e-2), (8, 1e-3), (1, 1e-4)]:
    hparams = jax.tree.map(jnp.float32, HPARAMS._replace(learning_rate=learning_rate))
    state, _ = chunk(state, hparams, points(), n_steps)
  assert int(state.step) == 12


def test_chunks_compose_bitwise():
  """10 steps, 4 + 6, and a new process's worth of 10 again: the same bytes; Info row by row."""
  training = wgan_jax.make_training(Config(batch_size=4), points_pair(), sample_points)
  chunk = jax.jit(wgan_jax.make_chunk(training.step, 16))
  start, data = training.init(KEY, HPARAMS), points()
  whole, whole_info = chunk(start, HPARAMS, data, 10)
  again, _ = chunk(start, HPARAMS, data, 10)
  half, first = chunk(start, HPARAMS, data, 4)
  rest, second = chunk(half, HPARAMS, data, 6)
  chex.assert_trees_all_equal(whole, again, rest)
  joined = jax.tree.map(lambda a, b: jnp.concatenate([a[:4], b[:6]]), first, second)
  chex.assert_trees_all_equal(jax.tree.map(lambda a: a[:10], whole_info), joined)
  assert not whole_info.finite[10:].any()


def test_chunk_equals_a_python_loop():
  training = wgan_jax.make_training(Config(batch_size=4), points_pair(), sample_points)
  state, infos = run(Config(batch_size=4), points_pair(), sample_points, points(), n_steps=5)
  chunked, info = jax.jit(wgan_jax.make_chunk(training.step, 5))(
    training.init(KEY, HPARAMS), HPARAMS, points(), 5
  )
  chex.assert_trees_all_close(chunked.critic_params, state.critic_params, rtol=1e-3, atol=1e-5)
  stacked = jnp.stack([i.critic_loss for i in infos])
  chex.assert_trees_all_close(info.critic_loss, stacked, rtol=1e-3, atol=1e-5)


def test_different_seeds_start_and_draw_differently():
  init, _ = wgan_jax.make_training(Config(batch_size=4), points_pair(), sample_points)
  one, two = (jax.jit(init)(jax.random.key(seed), HPARAMS) for seed in (0, 1))
  for params in ("critic_params", "generator_params"):
    kernels = [getattr(state, params)["Dense_0"]["kernel"] for state in (one, two)]
    assert not jnp.allclose(*kernels)
  assert (jax.random.key_data(one.key) != jax.random.key_data(two.key)).any()


def test_a_non_finite_loss_is_told_at_its_step():
  training = wgan_jax.make_training(Config(batch_size=4), points_pair(), sample_points)
  state, step = training.init(KEY, HPARAMS), jax.jit(training.step)
  state, info = step(state, HPARAMS, points())
  assert bool(info.finite)
  _, info = step(state, HPARAMS, points().at[:].set(jnp.nan))
  assert not bool(info.finite)


def test_a_non_finite_parameter_is_told_before_any_loss_shows_it():
  """An infinite learning rate: the losses of the first step are finite, the generator is not."""
  pair = shift_pair(lambda params, x: x[0])
  pair = pair._replace(critic=pair.critic._replace(init=lambda key: {}))
  hparams = HPARAMS._replace(learning_rate=jnp.inf)
  _, (info,) = run(
    Config(batch_size=2, penalty="none"), pair, lambda *_: jnp.ones((2, 1)), None, hparams=hparams
  )
  assert np.isfinite([info.critic_loss, info.generator_loss]).all()
  assert not bool(info.finite)


def test_a_non_finite_critic_loss_is_told_while_all_parameters_are_finite():
  """A score that overflows on real data only, with a finite slope."""
  pair = shift_pair(
    lambda params, x: jnp.where(x[0] > 0.5, jnp.inf, 0.0) + linear_critic(params, x)
  )
  state, (info,) = run(
    Config(batch_size=2, penalty="none"), pair, lambda *_: jnp.ones((2, 1)), None
  )
  chex.assert_tree_all_finite((state.critic_params, state.generator_params, info.generator_loss))
  assert not bool(info.finite)


def test_an_overflow_in_the_optimiser_is_told_though_the_parameters_stand_still():
  """A slope of 1e25 squares to infinity: Adam then moves nothing, for ever."""
  pair = shift_pair(lambda params, x: 1e25 * linear_critic(params, x))
  real = jnp.ones((2, 1))
  state, (info,) = run(
    Config(batch_size=2, penalty="none", n_critic=1), pair, lambda *_: real, None
  )
  chex.assert_tree_all_finite((state.critic_params, info.critic_loss))
  assert not bool(info.finite)


def test_no_key_is_used_twice():
  with jax.debug_key_reuse(True):
    training = wgan_jax.make_training(Config(batch_size=4), points_pair(), sample_points)
    state = training.init(jax.random.key(1), HPARAMS)
    jax.jit(training.step)(state, HPARAMS, points())


def test_vmap_over_hyperparameters_trains_each_member_alone():
  """Two learning rates in one program; the member that diverges leaves its neighbour alone."""
  training = wgan_jax.make_training(Config(batch_size=4), points_pair(), sample_points)
  rates = jnp.array([1e-2, jnp.inf])
  axes = Hparams(0, None, None, None, None, None)
  hparams = HPARAMS._replace(learning_rate=rates)
  states = jax.vmap(training.init, (None, axes))(KEY, hparams)
  states, info = jax.jit(jax.vmap(training.step, (0, axes, None)))(states, hparams, points())
  assert info.finite.tolist() == [True, False]
  solo, _ = run(Config(batch_size=4), points_pair(), sample_points, points())
  chex.assert_trees_all_close(
    jax.tree.map(lambda leaf: leaf[0], states.critic_params), solo.critic_params, rtol=1e-3
  )
