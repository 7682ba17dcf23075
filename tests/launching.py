"""Runs launchers in this process, on the smallest run there is."""

import hashlib
import pathlib

from experiments import mnist, sample
from experiments.harness import cli

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
  names = {argument.split("=")[0] for argument in arguments}
  tiny = [argument for argument in TINY if argument.split("=")[0] not in names]
  return launch(mnist, *tiny, f"--workdir={workdir}", *arguments)


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
