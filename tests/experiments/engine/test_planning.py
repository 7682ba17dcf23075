"""How many members are trained at once: what memory allows, by the compiler's account."""

import jax
import pytest

from experiments.engine import planning
from experiments.host.errors import UserError
from experiments.spec.grid import Grid

CHOICES = {"loss": ("wasserstein",), "penalty": ("gp",), "width": (4,), "depth": (1,)}
CHOICES |= {"batch_size": (4,), "n_critic": (1,)}
RUNS = Grid("ring", CHOICES).settings(range(40))
DATA = RUNS[0].load()


def at_once(monkeypatch, free, batching):
  monkeypatch.setattr(planning, "free_bytes", lambda n_devices: free)
  return planning.members_at_once(RUNS, DATA, planning.Layout(batching))


def test_under_map_it_is_eight_a_device_as_more_are_no_faster(monkeypatch):
  assert at_once(monkeypatch, 1e12, "map") == 8 * len(jax.local_devices())


@pytest.mark.parametrize("batching", ["map", "vmap"])
def test_less_memory_allows_fewer_members_and_too_little_none(monkeypatch, batching):
  """One member's bytes are found as the memory that just allows it."""
  devices = len(jax.local_devices())
  found = [at_once(monkeypatch, devices * (DATA.nbytes + n), "map") for n in (2_500, 6_000)]
  assert 0 < found[0] < found[1] <= 8 * devices
  with pytest.raises(UserError, match="lower --batch_size or --width"):
    at_once(monkeypatch, devices * DATA.nbytes, batching)


def test_under_vmap_each_member_needs_its_own_step(monkeypatch):
  free = 2 * DATA.nbytes + 4e6
  mapped, vmapped = (at_once(monkeypatch, free, batching) for batching in ("map", "vmap"))
  assert vmapped > mapped  # No limit but memory.
  monkeypatch.setattr(planning, "_MOST_MAPPED", 10**6)
  assert at_once(monkeypatch, free, "map") > vmapped


def test_map_is_the_default_on_a_cpu(monkeypatch):
  assert planning.default_batching() == "map"
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert planning.default_batching() == "vmap"
