"""PyTorch's step computes ours: with equal weights, data and epsilon."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.spec.settings import Settings
from experiments.speed.steps import settings_of
from wgan_jax import LOSSES, PENALTIES, interpolate
from wgan_jax.networks import dcgan, infogan
from wgan_jax.networks.mlp import mlp
from wgan_jax.objectives import make_objectives

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `benchmark`")
pytorch = pytest.importorskip("experiments.speed.pytorch")
networks = pytest.importorskip("experiments.speed.pytorch_networks")

KEY = jax.random.key(0)
BATCH, LAMBDA = 16, 10.0
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def gradients_of(network, params):
  """The gradients of the PyTorch network, arranged as our parameters."""
  leaves, structure = jax.tree.flatten(params)
  ends = np.cumsum([leaf.size for leaf in leaves])
  places = [
    np.arange(end - x.size, end).reshape(x.shape) for x, end in zip(leaves, ends, strict=True)
  ]
  values = np.full(ends[-1], np.nan)
  for parameter, place in networks.pairs(network, structure.unflatten(places)):
    values[place] = parameter.grad.numpy()
  return structure.unflatten([values[place] for place in places])


def assert_close(theirs, ours, n_flat=0):
  """Asserts max |a - b| <= 1e-4 max |b| per leaf, and how many leaves are zero."""
  scales = []
  for (path, b), a in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
    scales.append(np.max(np.abs(b)))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * scales[-1] + 1e-6, err_msg=str(path))
  assert sum(scale < 1e-6 for scale in scales) == n_flat


def images_case(architecture, layout):
  pair = {"dcgan": dcgan, "infogan": infogan}[architecture]((28, 28, 1), latent_dim=8, width=8)
  make_critic, make_generator = networks.NETWORKS[architecture]
  critic, generator = make_critic((28, 28, 1), 8), make_generator((28, 28, 1), 8, 8)
  for network in (critic, generator):
    network.to(memory_format=pytorch.LAYOUTS[layout])
  real = jax.random.uniform(KEY, (BATCH, 28, 28, 1), minval=-1)

  def to_torch(x):
    x = torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)
    return x.contiguous(memory_format=pytorch.LAYOUTS[layout])

  return pair, critic, generator, real, to_torch


def points_case():
  pair = mlp((2,), latent_dim=2, width=16, depth=3)
  critic = networks.MLP([2, 16, 16, 16, 1], critic=True)
  generator = networks.MLP([2, 16, 16, 16, 2], critic=False)
  return pair, critic, generator, jax.random.normal(KEY, (BATCH, 2)), lambda x: torch.tensor(x)


@pytest.mark.parametrize(
  "case",
  [
    functools.partial(images_case, "dcgan", "contiguous"),
    functools.partial(images_case, "dcgan", "channels_last"),
    functools.partial(images_case, "infogan", "channels_last"),
    points_case,
  ],
  ids=["dcgan", "channels_last", "infogan", "points"],
)
def test_penalty_losses_and_every_gradient_agree(case):
  pair, critic, generator, real, to_torch = case()
  # Larger weights than at the start, so that the norms are far from 0 and the penalty from 1.
  critic_params = jax.tree.map(lambda leaf: 2 * leaf + 0.01, quick(pair.critic.init)(KEY))
  generator_params, batch_stats = quick(pair.generator.init)(jax.random.key(1))
  for network, params in ((critic, critic_params), (generator, generator_params)):
    assert len(list(networks.pairs(network, params))) == len(list(network.parameters()))
    networks.load(network, params)
  latents = jax.random.normal(jax.random.key(2), (BATCH, pair.latent_dim))
  generate = quick(functools.partial(pair.generator.apply, train=True))
  fake, _ = generate(generator_params, batch_stats, latents)
  their_fake = generator(torch.from_numpy(np.array(latents)))
  np.testing.assert_allclose(their_fake.detach(), to_torch(fake), atol=1e-5)

  objectives = make_objectives(LOSSES["wasserstein"], PENALTIES["gp"], pair)
  gradients, metrics = quick(jax.grad(objectives.critic, has_aux=True))(
    critic_params, KEY, real, fake, LAMBDA
  )
  # Epsilon itself is where a point between 0 and 1 lies.
  epsilon = interpolate(KEY, jnp.ones_like(real), jnp.zeros_like(real)).reshape(BATCH, -1)[:, 0]
  objective, penalty = pytorch.critic_objective(
    critic, to_torch(real), to_torch(fake), torch.from_numpy(np.array(epsilon)), LAMBDA
  )
  objective.backward()
  np.testing.assert_allclose(penalty.item(), metrics["gradient_penalty"], rtol=1e-4)
  np.testing.assert_allclose(objective.item(), metrics["critic_loss"], rtol=1e-4)
  assert_close(
    gradients_of(critic, critic_params), gradients, n_flat=1
  )  # The bias of the score moves nothing.

  gradients, _ = quick(jax.grad(objectives.generator, has_aux=True))(
    generator_params, batch_stats, critic_params, latents, None
  )
  (-critic(their_fake).mean()).backward()
  assert_close(gradients_of(generator, generator_params), gradients)


def test_a_step_updates_both_networks():
  _, critic, generator, _, _ = points_case()
  before = [p.clone() for p in (*critic.parameters(), *generator.parameters())]
  data = torch.randn(BATCH, 2)
  settings = settings_of("ring", latent_dim=2, batch_size=BATCH)
  step = pytorch.make_step(critic, generator, None, lambda: data, settings)
  step()
  after = [*critic.parameters(), *generator.parameters()]
  # The critic's last bias moves no score difference.
  assert sum(bool((a != b).any()) for a, b in zip(after, before, strict=True)) >= len(after) - 1
  assert all(p.requires_grad for p in critic.parameters())


def test_a_timed_turn_builds_nothing(monkeypatch):
  """Networks and optimisers are made before the first turn: the turns of both sides only train."""
  settings = settings_of("digits", width=2, batch_size=2, n_critic=1)
  ways = pytorch.make_ways(settings, settings.load(), 2, "cpu")
  assert len(ways) == len(pytorch.LAYOUTS)

  def build(*_, **__):
    raise AssertionError("built in a turn")

  for owner in (torch.nn.Module, torch.optim.Optimizer):
    monkeypatch.setattr(owner, "__init__", build)
  monkeypatch.setattr(Settings, "networks", build)
  for way in ways.values():
    way.run()
    assert way.units == 2
