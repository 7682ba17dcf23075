"""Figures of the rows, computed from known seconds; some measured for real in the campaign."""

import dataclasses
import sys

import pytest

from experiments.speed import comparisons
from experiments.speed.comparisons import TorchMissingError
from experiments.speed.rows import ROWS
from experiments.speed.steps import count_flops, settings_of
from experiments.speed.turns import Measurement, MedianRange, Timing, Way


@pytest.fixture
def timed(monkeypatch):
  """Replaces ways by nothing, and their timing by the seconds that the test sets, by name."""
  seconds = {}

  def take_turns(ways, rounds):
    assert set(ways) <= set(seconds)
    return Timing({name: 9.0 for name in ways}, {name: [seconds[name]] * rounds for name in ways})

  monkeypatch.setattr(comparisons, "take_turns", take_turns)
  for name in ("alone", "native", "members"):
    monkeypatch.setattr(comparisons, name, lambda *arguments: Way(lambda: None, 1))
  monkeypatch.setattr(comparisons, "_pytorch_ways", lambda *_: {"slow": None, "fast": None})
  return seconds


def value(measurement):
  low, median, high = measurement.value
  assert low == median == high
  return median


def test_the_faster_of_each_side_is_compared(timed):
  timed |= {"jax": 1.0, "vmap": 4.0, "map": 2.0, "slow": 12.0, "fast": 6.0, "native": 5.0}
  settings = settings_of("grid")
  assert value(comparisons.against_pytorch(settings, 3, 1)) == 6.0
  assert value(comparisons.sweep_against_pytorch(settings, 3, 1, 2)) == 3.0
  assert value(comparisons.against_native(settings, 3, 1)) == 5.0


def test_the_share_of_the_peak_is_a_ratio_of_rates(timed, monkeypatch):
  monkeypatch.setattr(comparisons, "_SIDE", 10)
  settings = settings_of("digits", width=4)
  timed |= {"jax": count_flops(settings) / 6e9, "product": 2000 / 8e9}
  measurement = comparisons.share_of_peak(settings, 1, 1)
  assert value(measurement) == pytest.approx(0.75)
  assert measurement.details["jax_gflops"] == pytest.approx(6)
  assert measurement.details["product_gflops"] == pytest.approx(8)


def test_the_penaltys_cost_is_over_that_of_its_arithmetic(timed):
  settings = settings_of("digits", width=4)
  many = dataclasses.replace(settings, n_critic=20)
  free = dataclasses.replace(many, penalty="none", lambda_gp=None)
  timed |= {"with": 3.0 * count_flops(many), "without": 2.0 * count_flops(free)}
  assert value(comparisons.penalty_cost(settings, 1, 1)) == pytest.approx(1.5)


def test_members_have_a_ratio_for_each_number_and_mode(timed):
  timed |= {"alone": 6.0, "vmap": 3.0, "map": 2.0}
  measurement = comparisons.members_against_alone(settings_of("grid"), 1, 1, counts=(1, 4))
  assert value(measurement) == 3.0
  assert measurement.details["vmap_1"] == MedianRange(2.0, 2.0, 2.0)
  assert measurement.details.keys() == {
    *("vmap_1", "map_1", "alone_1_ms", "vmap_4", "map_4", "alone_4_ms")
  }


def test_a_missing_pytorch_has_an_error_of_its_own(monkeypatch):
  monkeypatch.setitem(sys.modules, "torch", None)
  with pytest.raises(TorchMissingError):
    comparisons.against_pytorch(settings_of("grid"), 1, 1)


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["toy_64", "start_cold", "start_warm"])
def test_a_row_is_measured_for_real(name):
  if name == "toy_64":
    pytest.importorskip("torch", reason="PyTorch is in the extra `benchmark`")
  measurement = ROWS[name].measure(1)
  assert isinstance(measurement, Measurement)
  assert measurement.value.low > 0


@pytest.mark.campaign
def test_members_are_measured_for_real():
  settings = settings_of("grid", width=2, depth=1, batch_size=2, n_critic=1)
  measurement = comparisons.members_against_alone(settings, 1, 1, counts=(1, 2))
  assert measurement.value.low > 0
