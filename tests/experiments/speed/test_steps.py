"""The steps that are timed: their arithmetic, their number, their convolutions."""

import jax
import jax.numpy as jnp
import pytest

from experiments.speed import steps
from wgan_jax import make_training
from wgan_jax.convolution import primitive


@pytest.mark.parametrize("penalty", ["gp", "none"])
@pytest.mark.parametrize(
  ("dataset", "choices"),
  [
    ("digits", {"architecture": "dcgan"}),
    ("digits", {"architecture": "infogan", "batch_size": 64}),
    ("grid", {}),
  ],
  ids=["dcgan", "infogan", "mlp"],
)
def test_the_arithmetic_is_what_the_compiler_counts(dataset, choices, penalty):
  """The compiler counts more than products, and loops once: hence one critic update."""
  settings = steps.settings_of(dataset, penalty=penalty, width=64, n_critic=1, **choices)
  training = make_training(settings.config(), settings.networks(), settings.load().sample_real)
  with jax.default_matmul_precision("highest"):  # The direct convolutions are chosen then.
    state = jax.eval_shape(training.init, jax.random.key(0), settings.hparams())
    program = jax.jit(training.step).lower(state, settings.hparams(), settings.load().train)
  assert 0.99 < program.cost_analysis()["flops"] / steps.count_flops(settings) < 1.04


def test_each_turn_trains_further_by_its_steps(monkeypatch):
  class Counting:
    """Stands for the engine; its state is the number of steps done."""

    def __init__(self, runs, dataset, capacity, mode="map"):
      seen.append((len(runs), mode, capacity))

    def init(self):
      return 0

    def chunk(self, state, n_steps):
      seen.append(state + n_steps)
      return state + n_steps, None

  seen = []
  monkeypatch.setattr(steps, "Engine", Counting)
  way = steps.alone("settings", "dataset", 3)
  way.run()
  way.run()
  assert (seen, way.units) == ([(1, "map", 3), 3, 6], 3)
  seen.clear()
  way = steps.members("settings", "dataset", 3, "vmap", 4)
  way.run()
  assert (seen, way.units) == ([(4, "vmap", 3), 3], 12)


def test_native_convolutions_are_those_of_xla():
  critic = steps.settings_of("digits", width=2).networks().critic

  def traced():
    params = jax.eval_shape(critic.init, jax.random.key(0))
    return str(jax.make_jaxpr(lambda *each: critic.apply(*each))(params, jnp.zeros((28, 28, 1))))

  assert traced().count(" conv_general_dilated") == 0
  with steps.native_convolutions():
    assert traced().count(" conv_general_dilated") == 2
  assert traced().count(" conv_general_dilated") == 0


@pytest.mark.campaign
def test_native_steps_have_none_of_the_matrix_products(monkeypatch):
  bind, bound = primitive._bind, []

  def counted(kind, *arguments, **operands):
    bound.append(kind)
    return bind(kind, *arguments, **operands)

  monkeypatch.setattr(primitive, "_bind", counted)
  settings = steps.settings_of("digits", width=1, latent_dim=1, batch_size=1, n_critic=1)
  steps.native(settings, settings.load(), 1).run()
  assert not bound
  steps.alone(settings, settings.load(), 1).run()
  assert bound


def test_a_run_alone_is_trained_for_real():
  settings = steps.settings_of("grid", width=2, depth=1, batch_size=2, n_critic=1)
  way = steps.alone(settings, settings.load(), 2)
  way.run()
  way.run()
