"""Claims are found by their files, and read in the order of their sources."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from helpers.claiming import all_claims

from experiments.claims import find_names

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"

_ADDED = """
from experiments.claims import find_names, load_claims
assert find_names()["added"] == "wgan"
names = list(load_claims())
assert names.index("added") == names.index("parallel_lines") + 1, names
assert len(names) == {n}
import jax
jax.config.update("jax_num_cpu_devices", 3)
assert len(jax.devices()) == 3
"""
_NAMES_ALONE = """
import sys
from experiments.claims import find_names
assert len(find_names()) == {n}
assert not {{"jax", "matplotlib"}} & set(sys.modules)
"""


def run_python(code, folder):
  environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
  environment |= {"PYTHONPATH": os.pathsep.join([str(folder), str(EXPERIMENTS.parent)])}
  subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=folder)


def test_a_new_file_is_a_claim_in_its_place_and_no_claim_uses_jax_early(tmp_path):
  """A launcher chooses its devices after it has loaded the claims."""
  shutil.copytree(EXPERIMENTS, tmp_path / "experiments")
  folder = tmp_path / "experiments" / "claims" / "wgan"
  text = (folder / "parallel_lines.py").read_text()
  text = text.replace('name="parallel_lines", place=1', 'name="added", place=1.5')
  (folder / "added.py").write_text(text)
  run_python(_ADDED.format(n=len(find_names()) + 1), tmp_path)


def test_names_are_found_without_jax_and_matplotlib(tmp_path):
  run_python(_NAMES_ALONE.format(n=len(find_names())), tmp_path)


def test_every_file_of_a_source_is_a_claim_of_another_name():
  files = (EXPERIMENTS / "claims").glob("*/[!_]*.py")
  assert sorted(path.stem for path in files) == sorted(find_names())


@pytest.mark.parametrize("name", sorted(find_names()))
def test_every_claim_is_whole(name):
  claim = all_claims()[name]
  assert claim.name == name
  assert set(claim.minutes) == {"quick", "full"}
  for other in (claim.full, claim.tiny):
    assert other.keys() <= claim.quick.keys()
    assert all(value != claim.quick[key] for key, value in other.items())
  for words in (claim.sentence, claim.source, claim.settings, claim.criterion_text):
    assert words[0].isupper() or words[0].isdigit()
    assert words.endswith(".") or words is claim.source
    assert "  " not in words


def test_quick_is_about_an_hour():
  assert sum(claim.minutes["quick"] for claim in all_claims().values()) <= 63
