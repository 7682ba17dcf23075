"""The import law: which module may know which."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "wgan_jax").rglob("*.py"))
LAUNCHING = sorted((ROOT / "experiments").rglob("*.py"))

# What a module of the library may import of the library. A folder stands for its modules.
ALLOWED = {
  "types": set(),
  "losses": {"types"},
  "penalties": {"types"},
  "precision": {"types"},
  "networks": {"types", "networks"},
  "data": {"types", "data"},
  "transport": {"types"},
  "modes": {"types"},
  "frechet": {"types"},
  "objectives": {"types", "losses", "penalties"},
  "lipschitz": {"types", "penalties"},
  "diagnostics": {"types", "losses"},
  "optimizers": set(),
  "config": {"losses", "penalties", "optimizers", "precision"},
  "training": {"types", "config", "objectives", "precision"},
  "sweep": {"training"},
}
ALLOWED["__init__"] = set(ALLOWED) - {"networks", "data"}
OUTSIDE = {
  "flax": {"networks"},
  "tensorflow_datasets": {"data"},
  "PIL": {"data"},
  "ot": {"transport"},
}
FORBIDDEN = ("absl", "experiments", "tensorflow", "matplotlib", "orbax", "tqdm")


def imports(path):
  """The dotted names that a file imports, at its top or within functions."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: relative import"
      names |= {f"{node.module}.{alias.name}" for alias in node.names}
  return names


def place(name):
  """'wgan_jax.networks.conv.conv' -> 'networks'."""
  return name.split(".")[1]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_library(path):
  here = path.relative_to(ROOT / "wgan_jax").parts[0].removesuffix(".py")
  for name in imports(path):
    top = name.split(".")[0]
    assert top not in FORBIDDEN, name
    assert here in OUTSIDE.get(top, {here}), name
    if top == "wgan_jax":
      assert place(name) in ALLOWED[here], f"{here} imports {name}"


@pytest.mark.parametrize("path", LAUNCHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_launchers_import_the_harness_and_never_each_other(path):
  allowed = ("experiments.harness",)
  if path.name == "reproduce.py":
    allowed += ("experiments.claims",)
  for name in imports(path):
    if name.startswith("experiments"):
      assert name.startswith(allowed), name
    assert not name.startswith("flax"), name


def test_files_stay_short():
  lengths = {path: len(path.read_text().splitlines()) for path in [*LIBRARY, *LAUNCHING]}
  assert {path: n for path, n in lengths.items() if n > 300} == {}


def test_every_module_has_its_test():
  tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
  # `types` and `linen` hold no more than what the tests of all others call.
  modules = {path.stem for path in LIBRARY} - {"__init__", "types", "linen"}
  assert modules <= tested
