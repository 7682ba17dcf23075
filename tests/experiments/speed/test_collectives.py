"""Collectives are read from a program's text, those of the loop as often as it runs."""

import jax
import pytest

from experiments.host.errors import UserError
from experiments.speed import collectives
from experiments.speed.collectives import Collective, collectives_of, parse
from experiments.speed.steps import settings_of

PROGRAM = """HloModule jit_step, is_scheduled=true

%body.1 (arg: (s32[], f32[4])) -> (s32[], f32[4]) {
  %all-reduce.2 = (f32[16,64]{1,0}, f32[]) all-reduce(%a, %b), channel_id=1, to_apply=%add
  %fusion.1 = f32[4]{0} fusion(%all-reduce.2), calls=%all-reduce
}

ENTRY %main.3 (p: f32[4]) -> f32[4] {
  %all-gather-start.1 = bf16[8]{0} all-gather-start(%p), dimensions={0}
  ROOT %copy = f32[4]{0} copy(%p)
}
"""


def test_bytes_and_times_are_read():
  assert list(parse(PROGRAM, 5)) == [
    Collective("all-reduce", 4 * (16 * 64 + 1), 5),
    Collective("all-gather", 16, 1),
  ]


@pytest.mark.campaign
@pytest.mark.skipif(jax.device_count() < 2, reason="there is one device")
@pytest.mark.parametrize("architecture", ["dcgan", "resnet"])
def test_devices_send_gradients_and_gather_nothing(architecture):
  """Each critic update and the generator's send all parameters once, and little else."""
  settings = settings_of("cifar10", architecture=architecture, width=8, batch_size=4, n_critic=2)
  found = collectives_of(settings)
  assert {each.kind for each in found} <= {"all-reduce", "all-to-all", "collective-permute"}
  pair, key = settings.networks(), jax.random.key(0)
  sizes = [
    sum(4 * leaf.size for leaf in jax.tree.leaves(jax.eval_shape(network.init, key)))
    for network in (pair.critic, pair.generator)
  ]
  sent = sum(each.times * each.nbytes for each in found if each.kind == "all-reduce")
  assert 2 * sizes[0] + sizes[1] < sent < 1.5 * (2 * sizes[0] + sizes[1])


def test_one_device_has_nothing_to_send(monkeypatch):
  monkeypatch.setattr(collectives.jax, "device_count", lambda: 1)
  with pytest.raises(UserError, match="--rows=collectives needs two devices"):
    collectives_of(settings_of("digits"))
