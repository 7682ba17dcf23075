"""Runs launchers in this process, on the smallest run there is.

Tests that need a finished run, and not its training, copy one that is trained once a process.
"""

import functools
import hashlib
import json
import pathlib
import shutil
import tempfile

from experiments import mnist, sample, sweep
from experiments.host import checkpoints, cli

TINY = (
  "--dataset=digits",
  "--architecture=mlp",
  "--width=4",
  "--latent_dim=2",
  "--batch_size=4",
  "--n_critic=1",
  "--log_every=3",
  "--sample_every=7",
  "--checkpoint_every=2",
)


def train(workdir: pathlib.Path, *arguments: str) -> int:
  """Trains a tiny run; arguments that stand in TINY are replaced."""
  return launch(mnist, *_tiny(arguments), f"--workdir={workdir}", *arguments)


def train_sweep(workdir: pathlib.Path, *arguments: str, batching: str = "map") -> int:
  """Trains a tiny sweep: of two clip values and two weights of the penalty by default."""
  grid = ["--penalty=clip,gp", "--clip_value=0.01,0.1", "--lambda_gp=1,10"]
  if any(argument.startswith("--penalty") for argument in arguments):
    grid = []
  arguments = [*grid, f"--batching={batching}", *arguments]
  if not any(argument.startswith("--members_at_once") for argument in arguments):
    arguments.append("--members_at_once=16")  # Else networks are traced for their size.
  return launch(sweep, *_tiny(arguments), f"--workdir={workdir}", *arguments)


def copy_run(workdir: pathlib.Path, *arguments: str) -> pathlib.Path:
  """-> `workdir`, a finished tiny run; the same for the same arguments."""
  return shutil.copytree(_finished(train, *arguments), workdir)


def copy_sweep(workdir: pathlib.Path, *arguments: str) -> pathlib.Path:
  """-> `workdir`, a finished tiny sweep; the same for the same arguments."""
  return shutil.copytree(_finished(train_sweep, *arguments), workdir)


@functools.cache
def _finished(trained, *arguments):
  path = pathlib.Path(_scratch().name) / f"{_finished.cache_info().misses}"
  assert trained(path, *arguments) == 0
  return path


@functools.cache
def _scratch():
  return tempfile.TemporaryDirectory()  # Removed when the process ends.


def draw(workdir: pathlib.Path, *arguments: str) -> int:
  """Samples from a run."""
  return launch(sample, f"--workdir={workdir}", *arguments)


def launch(launcher, *arguments: str) -> int:
  """A launcher's exit status."""
  return cli.run(launcher.main, launcher.register, launcher.__doc__, ["launcher", *arguments])


def results(workdir: pathlib.Path) -> dict[str, str]:
  """A digest of every file that must not depend on when a run was stopped."""
  files = [workdir / "metrics.jsonl", workdir / "curves.png", workdir / "summary.json"]
  files += sorted((workdir / "samples").iterdir())
  return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def final_state(workdir: pathlib.Path) -> tuple:
  """The newest checkpoint's step, the digest of its state, and its pending rows."""
  step = checkpoints.steps(workdir / "checkpoints")[-1]
  digests = json.loads((workdir / "checkpoints" / str(step) / "digest.json").read_text())
  return step, digests["state"], digests["pending"]


def sweep_results(workdir: pathlib.Path) -> dict[str, str]:
  """The same of a sweep."""
  files = [workdir / "results.csv", workdir / "results.json"]
  for name in ("metrics.jsonl", "summary.json", "samples/*.png"):
    files += sorted(workdir.glob(f"members/*/{name}"))
  digests = {
    str(file.relative_to(workdir)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
  }
  for file in sorted(workdir.glob("members/*/checkpoints/*/digest.json")):
    digests[str(file.relative_to(workdir))] = json.loads(file.read_text())["state"]
  return digests


def _tiny(arguments):
  names = {argument.split("=")[0] for argument in arguments}
  return [argument for argument in TINY if argument.split("=")[0] not in names]
