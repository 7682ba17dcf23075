"""Several processes that train together, launched: their numbers, their deaths, their errors."""

import dataclasses
import random
import signal
import time

import jax
import numpy as np
import pytest
from helpers import launching, laying
from helpers.launching import final_state, results, sweep_results
from helpers.processing import TINY_POINTS, finish, launch, wait_for_steps

from experiments import toy
from experiments.engine.engine import Engine
from experiments.engine.folder import RunFolder
from experiments.engine.following import follow
from experiments.host.processes import LOST, Team
from experiments.spec.grid import Grid

SWEEP = ("--dataset=ring", "--penalty=clip,gp", "--lambda_gp=1,10", "--members_at_once=3")


@pytest.mark.campaign
def test_two_processes_train_as_two_devices_do(tmp_path):
  """Bit for bit, lines and pictures included."""
  together = launch(tmp_path / "together")
  arguments = (*TINY_POINTS, "--data_parallel=2", f"--workdir={tmp_path}/one")
  assert launching.launch(toy, *arguments) == 0
  assert finish(together) == [(0, ""), (0, "")]
  assert results(tmp_path / "together") == results(tmp_path / "one")
  assert final_state(tmp_path / "together") == final_state(tmp_path / "one")


class Recorded:
  """A team of one that records what it tells, as if there were others."""

  def __init__(self):
    self.told, self.n, self.leads = [], 1, True

  def tell(self, *call):
    self.told.append(list(call))


class Told(Team):
  """A team of one that is told what to compute."""

  def __init__(self, calls):
    super().__init__(1, 1)
    self._calls = calls

  def calls(self):
    yield from self._calls


@pytest.mark.campaign
def test_who_is_told_the_calls_computes_the_same(capsys, monkeypatch):
  choices = {"width": (8,), "batch_size": (8,), "loss": ("wasserstein",), "penalty": ("gp",)}
  runs = Grid("ring", choices, 5).settings(range(2))
  dataset, team = runs[0].load(), Recorded()
  engine = Engine(runs, dataset, 4, team=team)
  members = engine.lay_out(engine.fetch(engine.init()))
  for n_steps in (2, 4):
    members, _ = engine.chunk(members, n_steps)
  engine.lines(members, [[], []], [False, False], slow=False)
  engine.snapshot(members)
  seen = []
  monkeypatch.setattr(
    Engine,
    "snapshot",
    lambda self, members: seen.append(self.program.read(members.state.critic_params)),
  )
  follow(Told(team.told), lambda run: dataset)
  assert [call[0] for call in team.told[:3]] == ["engine", "init", "fetch"]
  assert team.told[0][1] == [dataclasses.asdict(run) for run in runs]
  for told, own in zip(*map(jax.tree.leaves, (seen[0], members.state.critic_params)), strict=True):
    np.testing.assert_array_equal(told, own)
  assert capsys.readouterr().out == "process 1 of 1: computes with process 0\n"


@pytest.mark.campaign
def test_a_killed_process_ends_the_other_and_the_run_goes_on(tmp_path):
  """Five times, either of them, at random: the numbers are those of a run without."""
  arguments = ("--steps=400", "--sample_every=100", "--checkpoint_every=20")
  finish(launch(tmp_path / "whole", *arguments))
  draw = random.Random(0)
  for _ in range(5):
    processes = launch(tmp_path / "killed", *arguments)
    wait_for_steps(processes[0])
    time.sleep(draw.uniform(0.5, 4))
    victim = draw.randrange(2)
    processes[victim].kill()
    started = time.monotonic()
    ended = finish(processes)
    assert time.monotonic() - started < 60
    status, said = ended[1 - victim]
    assert status == LOST
    assert said.count("\n") == 1
    assert f"error: process {victim} on" in said
  assert [status for status, _ in finish(launch(tmp_path / "killed", *arguments))] == [0, 0]
  assert results(tmp_path / "killed") == results(tmp_path / "whole")
  assert final_state(tmp_path / "killed") == final_state(tmp_path / "whole")


@pytest.mark.campaign
def test_a_process_that_hangs_ends_the_other_within_a_minute(tmp_path):
  processes = launch(tmp_path / "run", "--steps=100000")
  wait_for_steps(processes[0])
  processes[1].send_signal(signal.SIGSTOP)
  ((status, said),) = finish(processes[:1], seconds=60)
  processes[1].kill()
  assert (status, said.count("\n")) == (LOST, 1)
  finish(processes[1:])


@pytest.mark.campaign
@pytest.mark.parametrize("asked", [0, 1])
def test_a_signal_at_either_stops_both_and_is_saved(tmp_path, asked):
  arguments = ("--steps=400", "--log_every=20", "--sample_every=400", "--checkpoint_every=100")
  finish(launch(tmp_path / "whole", *arguments))
  processes = launch(tmp_path / "run", *arguments)
  wait_for_steps(processes[0])
  time.sleep(2)
  processes[asked].send_signal(signal.SIGTERM)
  ended = finish(processes)
  assert [status for status, _ in ended] == [143, 143]
  assert all("stopped at step" in said for _, said in ended)
  finish(launch(tmp_path / "run", *arguments))
  assert results(tmp_path / "run") == results(tmp_path / "whole")


@pytest.mark.campaign
def test_a_run_moves_from_one_process_to_two_and_back(tmp_path):
  path, states = tmp_path / "moved", []
  for steps, n in ((8, 1), (16, 2), (20, 1)):
    if n == 2:
      (status, said), _ = finish(launch(path, f"--steps={steps}"))
      assert "warning: processes, " in said
    else:
      status = launching.launch(toy, *TINY_POINTS, f"--steps={steps}", f"--workdir={path}")
    assert status == 0
  arguments = (*TINY_POINTS, "--steps=20", f"--workdir={tmp_path / 'whole'}")
  assert launching.launch(toy, *arguments) == 0
  for name in ("moved", "whole"):
    state = RunFolder(tmp_path / name).restore()[1]
    states.append((state.critic_params, state.generator_params))
  assert laying.difference(*states) < 1e-6


@pytest.mark.campaign
def test_members_and_batches_of_a_sweep_lie_over_processes(tmp_path):
  """Members on devices of their own have the bits of one process, slow measures included."""
  arguments = (*SWEEP, "--slow_every=4", "--seeds=2", "--sample_every=6")
  finish(launch(tmp_path / "one", *arguments, own=((),), n=1, launcher="sweep"), 600)
  ended = finish(launch(tmp_path / "two", *arguments, launcher="sweep"), 600)
  assert [status for status, _ in ended] == [0, 0]
  assert sweep_results(tmp_path / "two") == sweep_results(tmp_path / "one")
  shared = (*arguments, "--data_parallel=2")
  ended = finish(launch(tmp_path / "batches", *shared, devices=2, launcher="sweep"), 600)
  assert [status for status, _ in ended] == [0, 0]
  assert sweep_results(tmp_path / "batches").keys() == sweep_results(tmp_path / "one").keys()


@pytest.mark.campaign
@pytest.mark.parametrize(
  ("own", "status", "message"),
  [
    (((), ("--batch_size=16",)), 2, "process 1 on"),
    (((), ("--batch_size=16",)), 2, "differs from process 0 in --batch_size (16 there, 8 here)"),
    ((("--batch_size=9",), ("--batch_size=9",)), 2, "--data_parallel=2 does not divide 9 samples"),
    ((("--data_parallel=1",),) * 2, 2, "--data_parallel=1 does not share out equally over 2"),
  ],
)
def test_processes_that_cannot_train_together_end_in_one_line(tmp_path, own, status, message):
  for found, said in finish(launch(tmp_path / "run", own=own)):
    assert found == status
    assert message in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
  assert not (tmp_path / "run").exists()


@pytest.mark.campaign
def test_a_folder_that_holds_something_else_ends_all_and_is_left(tmp_path):
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "other").touch()
  for status, said in finish(launch(tmp_path / "run")):
    assert status == 2
    assert "holds other files and no run" in said
  assert [path.name for path in (tmp_path / "run").iterdir()] == ["other"]
