"""Digests: of arrays every leaf counts, of code every module that it runs through."""

import sys
import types

import jax.numpy as jnp
import pytest

from experiments.host import digest
from experiments.host.digest import digest_code, digest_state


def _write(folder, name, text):
  path = folder / f"{name}.py"
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


@pytest.fixture
def package(tmp_path, monkeypatch):
  """`pack.top` imports all but `pack.apart`, in every form that an import has."""
  monkeypatch.syspath_prepend(tmp_path)
  files = {
    "pack/__init__": "",
    "pack/top": "import numpy, pack.plain\nfrom pack import middle",
    "pack/plain": "X = 1",
    "pack/middle": "def f():\n  from pack.deep import Y\n  return Y",
    "pack/deep/__init__": "from pack.deep.bottom import Y",
    "pack/deep/bottom": "Y = 1",
    "pack/apart": "Z = 1",
  }
  for name, text in files.items():
    _write(tmp_path, name, text)
  digest_code.cache_clear()
  yield tmp_path
  for name in [name for name in sys.modules if name.split(".")[0] == "pack"]:
    del sys.modules[name]


@pytest.mark.parametrize("name", ["top", "plain", "middle", "deep/__init__", "deep/bottom"])
def test_an_edit_anywhere_below_changes_the_digest_of_code(package, name):
  before = digest_code("pack.top")
  path = package / "pack" / f"{name}.py"
  path.write_text(path.read_text() + "\nNEW = 1")
  assert digest_code("pack.top") == before  # As it was when it was imported.
  digest_code.cache_clear()
  assert digest_code("pack.top") != before


def test_what_is_not_imported_does_not_change_the_digest_of_code(package):
  before = digest_code("pack.top")
  _write(package, "pack/apart", "Z = 2")
  digest_code.cache_clear()
  assert digest_code("pack.top") == before


def test_the_classifiers_key_covers_its_convolutions():
  found = {}
  digest._collect_sources("wgan_jax.networks.classifier", found)
  assert {f"wgan_jax.convolution.{name}" for name in ("primitive", "columns", "toom_cook")} <= set(
    found
  )


@pytest.mark.parametrize(
  "changed",
  [
    {"a": jnp.zeros(3), "b": jnp.ones(2)},
    {"a": jnp.zeros(2, jnp.int32), "b": jnp.ones(2)},
    {"a": jnp.zeros(2), "c": jnp.ones(2)},
    {"a": jnp.zeros((1, 2)), "b": jnp.ones(2)},
    {"a": -jnp.zeros(2), "b": jnp.ones(2)},
  ],
)
def test_shape_type_place_and_every_bit_count_in_the_digest_of_a_state(changed):
  state = types.MappingProxyType({"a": jnp.zeros(2), "b": jnp.ones(2)})
  assert digest_state(dict(state)) == digest_state({"b": jnp.ones(2), "a": jnp.zeros(2)})
  assert digest_state(changed) != digest_state(dict(state))
