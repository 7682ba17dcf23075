"""The tutorial: its cells run in order, assertions included; its outputs are complete."""

import ast
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

NOTEBOOK = pathlib.Path(__file__).parents[2] / "docs" / "tutorial.ipynb"
CELLS = [
  cell
  for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
  if cell["cell_type"] == "code"
]
SOURCES = ["".join(cell["source"]) for cell in CELLS]


def run(sources):
  """Cells one after another in one namespace of a fresh process, warnings as errors."""
  program = "import json, sys\nfor source in json.load(sys.stdin): exec(source, globals())\n"
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}  # conftest's devices.
  return subprocess.run(
    [sys.executable, "-W", "error", "-c", program],
    input=json.dumps(sources),
    env=environment | {"MPLBACKEND": "Agg"},
    capture_output=True,
    text=True,
    timeout=600,
  )


@pytest.mark.campaign
def test_every_cell_runs():
  finished = run(SOURCES)
  assert finished.returncode == 0, finished.stderr[-3000:]
  assert "modes 8 of 8" in finished.stdout


def test_cells_use_names_that_exist():
  tree = ast.parse("\n".join(SOURCES))
  imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
  names = {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
  names |= {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
  names = {name for name in names if re.fullmatch(r"wgan_jax(\.\w+)+", name)}
  assert len(names) > 15
  for name in names:
    assert resolves(name), name


def resolves(name):
  found = importlib.import_module("wgan_jax")
  for i, part in enumerate(name.split(".")[1:], 2):
    if not hasattr(found, part):  # A module that nobody imported yet.
      try:
        importlib.import_module(".".join(name.split(".")[:i]))
      except ImportError:
        return False
    found = getattr(found, part)
  return True


def test_a_broken_cell_fails():
  finished = run(["x = 1", "assert x == 2", "print('went on')"])
  assert finished.returncode == 1
  assert "AssertionError" in finished.stderr
  assert "went on" not in finished.stdout


def test_outputs_are_stored():
  assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))
  outputs = [output for cell in CELLS for output in cell["outputs"]]
  for source, cell in zip(SOURCES, CELLS, strict=True):
    pictures = [o for o in cell["outputs"] if "image/png" in o.get("data", {})]
    assert len(pictures) == source.count("plt.subplots(")
  assert all(output.get("name") != "stderr" for output in outputs)
  assert all(output["output_type"] != "error" for output in outputs)
  assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
  assert NOTEBOOK.stat().st_size < 100_000
