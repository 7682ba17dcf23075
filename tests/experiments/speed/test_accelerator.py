"""The rows of a new device: each measures at a tiny size, and figures follow from known seconds."""

import pytest

from experiments.speed import accelerator
from experiments.speed.accelerator import FULL, TINY
from experiments.speed.rows import PRESETS, ROWS
from experiments.speed.steps import count_flops
from experiments.speed.turns import MedianRange, Timing


@pytest.fixture
def timed(monkeypatch):
  """Replaces programs by their names, and their timing by the seconds that the test sets."""
  seconds = {}

  def take_turns(ways, rounds):
    return Timing({}, {name: [seconds[name]] * rounds for name in ways})

  monkeypatch.setattr(accelerator, "take_turns", take_turns)
  monkeypatch.setattr(accelerator, "compile_ways", lambda traced: traced)
  for name in ("trace", "start_state", "_product", "_load"):
    monkeypatch.setattr(accelerator, name, lambda *args, **kwargs: None)
  monkeypatch.setattr(
    accelerator, "_pytorch_ways", lambda *args: {"eager_a": 0, "eager_b": 0, "graph_a": 0}
  )
  return seconds


def test_rates_are_compared_with_pytorch_native_convolutions_and_the_peak(timed):
  settings = accelerator.mnist(TINY)
  peak = {f"product_{name}": 1.0 for name in ("float32", "tf32", "bfloat16")}
  timed |= peak | {"float32": 4.0, "tf32": 2.0, "bfloat16": 1.0, "native": 3.0}
  timed |= {"eager_a": 20.0, "eager_b": 10.0, "graph_a": 6.0}
  value, unit, details = accelerator.rates(settings, 2, TINY, native="tf32", pytorch=True)
  assert (value, unit) == (MedianRange(3.0, 3.0, 3.0), "x faster")
  assert details["against_native"].median == 1.5
  assert details["against_eager"].median == 5.0
  assert details["against_graph"].median == 3.0
  share = count_flops(settings) / (2 * TINY.product**3) / 4.0
  assert details["float32_share_of_peak"].median == pytest.approx(share)
  assert details["tf32_tflops"] == pytest.approx(count_flops(settings) / 1e12 / 2.0)
  value, unit, _ = accelerator.rates(settings, 2, TINY, native=None, pytorch=False)
  assert (value.median, unit) == (1.0, "steps/s in bfloat16")


def test_a_member_is_compared_with_a_run_alone(timed):
  timed |= {"alone": 6.0, "member": 2.0, "eager_a": 8.0, "eager_b": 9.0, "graph_a": 9.0}
  value, _, details = accelerator.sweep(accelerator.toy(TINY), 1, TINY)
  assert value.median == 3.0
  assert details["against_pytorch"].median == 4.0


def test_the_arithmetic_of_a_preset_is_counted_by_the_compiler():
  full = count_flops(accelerator.cifar("wgan_gp_resnet", FULL))
  assert 2.0e12 < full < 2.6e12  # 2.5e12 by hand, with the products at the borders.


@pytest.mark.campaign
def test_penalties_of_one_device_agree_with_themselves():
  value, _, details = accelerator.penalty_value(1, TINY)
  assert value.median < 1e-6
  assert 1e-4 < details["bfloat16_value"] < 0.1


def test_presets_name_rows():
  assert {name for names in PRESETS.values() for name in names} <= set(ROWS)
  assert [f"{name}_tiny" for name in PRESETS["accelerator"]] == list(PRESETS["tiny"])


@pytest.mark.campaign
@pytest.mark.parametrize("name", PRESETS["tiny"])
def test_each_row_measures_at_a_tiny_size(name):
  value, _, details = ROWS[name].measure(1)
  assert value.low <= value.median <= value.high
  assert details
