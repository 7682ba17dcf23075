"""The import law: which module may know which."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "wgan_jax").rglob("*.py"))
LAUNCHING = sorted((ROOT / "experiments").rglob("*.py"))

# What a module of the library may import of the library. A folder stands for its modules.
NOUNS = {"types", "layers", "numerics"}
ALLOWED = {
  "types": NOUNS,
  "layers": NOUNS | {"convolution"},
  "numerics": set(),
  "losses": NOUNS,
  "penalties": NOUNS,
  "precision": NOUNS,
  "transport": NOUNS,
  "modes": NOUNS,
  "frechet": NOUNS,
  "convolution": {"convolution"},
  "data": NOUNS | {"data"},
  "networks": NOUNS | {"convolution", "networks"},
  "operator_norm": NOUNS,
  "lipschitz": NOUNS | {"operator_norm", "penalties"},
  "kernels": NOUNS | {"convolution"},
  "constraints": NOUNS | {"kernels"},
  "diagnostics": NOUNS | {"losses"},
  "saving": set(),
  "memory": NOUNS,
  "objectives": NOUNS | {"losses", "memory", "penalties"},
  "optimizers": {"numerics"},
  "config": NOUNS | {"losses", "memory", "penalties", "optimizers", "precision"},
  "parallel": set(),
  "training": NOUNS | {"config", "memory", "objectives", "optimizers", "parallel", "precision"},
  "sweep": NOUNS | {"config", "parallel", "training"},
}
ALLOWED["__init__"] = set(ALLOWED) - {"networks", "data"}
OUTSIDE = {
  "flax": {"networks", "saving"},
  "tensorflow_datasets": {"data"},
  "PIL": {"data"},
  "grain": {"data"},
  "ot": {"transport"},
}
FORBIDDEN = ("absl", "experiments", "tensorflow", "matplotlib", "orbax", "tqdm")

# Each room of the launchers uses the library, itself, and the rooms before it.
ROOMS = ("host", "spec", "measures", "figures", "engine", "report", "claims", "speed")


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
  """'wgan_jax.networks.dcgan.dcgan' -> 'networks'."""
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
def test_a_room_uses_the_rooms_before_it_and_a_launcher_no_launcher(path):
  room = path.relative_to(ROOT / "experiments").parts[0]
  launcher = room.endswith(".py")
  # Neither claims nor speed know each other.
  before = set(ROOMS if launcher else ROOMS[: ROOMS.index(room) + 1])
  before -= {"claims"} if room == "speed" else set()
  for name in imports(path):
    if name.startswith("experiments"):
      assert place(name) in before, f"{room} imports {name}"
    assert not name.startswith("flax"), name


@pytest.mark.parametrize("path", LAUNCHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_module_opens_writes_and_removes_files(path):
  """`host.files`: atomically, and through no link."""
  place = path.relative_to(ROOT / "experiments").as_posix()
  if place in ("host/files.py", "host/streams.py"):  # The latter opens what is no file.
    return
  # Code and data that the user installed, and what the system says of itself.
  reads = (
    set() if place in ("host/digest.py", "host/environment.py") else {"read_bytes", "read_text"}
  )
  for node in ast.walk(ast.parse(path.read_text())):
    if not isinstance(node, ast.Call):
      continue
    called = ast.unparse(node.func)
    assert called not in ("open", "os.open", "os.replace", "json.dump"), called
    owner, _, name = called.rpartition(".")
    if owner not in ("", "files", "Image", "archive"):
      assert name not in {"open", "write_text", "write_bytes"} | reads, called
      assert name not in {"unlink", "rmtree", "rmdir", "removedirs"}, called
      assert owner != "os" or name != "remove", called


def test_files_stay_short():
  lengths = {path: len(path.read_text().splitlines()) for path in [*LIBRARY, *LAUNCHING]}
  assert {path: n for path, n in lengths.items() if n > 300} == {}


def test_every_module_of_the_library_has_its_test_where_it_is():
  tests = ROOT / "tests" / "library"
  for path in LIBRARY:
    # `types`, `layers` and `linen` hold no more than what the tests of all others call.
    if path.stem not in ("__init__", "types", "layers", "linen"):
      folder = tests / path.relative_to(ROOT / "wgan_jax").parent
      assert (folder / f"test_{path.stem}.py").exists(), path
