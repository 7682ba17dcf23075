"""A team of processes: here each is a thread, with real connections."""

import contextlib
import queue
import signal
import threading

import pytest
from absl import flags

from experiments.host import joining, processes
from experiments.host.channel import close_socket, connect, free_port
from experiments.host.errors import Stopped, UserError
from experiments.host.joining import Rank, find_rank
from experiments.host.processes import LOST, Team
from experiments.spec.flags import register_processes


@pytest.fixture(autouse=True)
def ended(monkeypatch):
  """-> exit statuses of processes that end at once; JAX itself has one process here."""
  statuses = queue.Queue()
  monkeypatch.setattr(processes, "exit_now", statuses.put)
  monkeypatch.setattr(processes, "_PATIENCE", 0.2)
  monkeypatch.setattr(joining, "drop_errors", lambda pattern: None)
  yield statuses
  for team in TEAMS:
    team._ending = True  # Of all, before one closes: the others would miss it.
  while TEAMS:
    TEAMS.pop().close()


TEAMS = []  # To be closed.


def make_team(n, index):
  TEAMS.append(Team(n, index))
  return TEAMS[-1]


def meet(*facts, n=None, indices=None, seconds=10):
  """Brings teams together; -> of each its team, or the error that it met with."""
  port, n = free_port(), n or len(facts)
  found = [None] * len(facts)

  def join(i, index):
    team = make_team(n, index)
    join_as = joining._gather if index == 0 else joining._follow
    try:
      join_as(team, Rank("localhost", port, n, index), facts[i], seconds)
      found[i] = team
    except UserError as error:
      team.end(error)
      found[i] = str(error)

  indices = indices or range(len(facts))
  threads = [threading.Thread(target=join, args=each, daemon=True) for each in enumerate(indices)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(2 if seconds < 5 else 10)
  return found


def test_calls_reach_all_others_in_their_order():
  first, *others = meet({}, {}, {})
  first.tell("chunk", 3)
  first.tell("fetch")
  first.send({"end": [0, ""]})
  for other in others:
    assert list(other.calls()) == [["chunk", 3], ["fetch"]]
    other.tell("chunk")  # Says nothing: it does not lead.
  assert first._inbox.empty()


def test_all_wait_for_each_other_and_say_the_same():
  first, second = meet({}, {})
  waiting = threading.Thread(target=second.agree, kwargs={"data": "a", "n": 1}, daemon=True)
  waiting.start()
  first.agree(data="a", n=1)
  waiting.join(5)
  assert not waiting.is_alive()
  Team().agree(data="a")  # A process alone.


def test_who_says_something_else_is_named(ended, capsys):
  first, second = meet({}, {})
  waiting = threading.Thread(target=second.agree, kwargs={"data_sha256": "b"}, daemon=True)
  waiting.start()
  with pytest.raises(UserError, match=r"process 1 on .* in data_sha256 \(b there, a here\)") as at:
    first.agree(data_sha256="a")
  first.end(at.value)
  assert ended.get(timeout=5) == 2
  assert "error: process 0: process 1 on" in capsys.readouterr().err


def test_flags_and_versions_must_agree(ended):
  facts = {"--batch_size": 32, "--width": 4, "jax": "0.10.2"}
  error, _ = meet(facts, facts | {"--batch_size": 64, "jax": "0.10.1"}, seconds=4)
  assert "--batch_size (64 there, 32 here), jax (0.10.1 there, 0.10.2 here)" in error
  assert "--width" not in error
  assert ended.get(timeout=5) == 2


def test_a_signal_at_one_process_reaches_the_first():
  first, second = meet({}, {})
  second.stop.signal = signal.SIGTERM
  follower = threading.Thread(target=lambda: list(second.calls()), daemon=True)
  follower.start()
  for _ in range(100):
    if first.stop.signal:
      break
    threading.Event().wait(0.05)
  assert first.stop.signal == signal.SIGTERM
  first.send({"end": [0, ""]})
  follower.join(5)


@pytest.mark.parametrize("dead", [0, 1])
def test_the_death_of_one_ends_the_others_in_one_line(dead, ended, capsys):
  team = meet({}, {}, {})
  for channel in team[dead]._channels.values():
    team[dead]._ending = True
    channel.close()
  assert [ended.get(timeout=5) for _ in range(2)] == [LOST, LOST]
  lines = capsys.readouterr().err.splitlines()
  assert all(f"error: process {dead} on" in line and "go on" in line for line in lines)


def test_an_error_in_one_ends_the_first(ended, capsys):
  _, second = meet({}, {})
  second.end(UserError("--data_dir: no such folder"))
  assert ended.get(timeout=5) == LOST
  assert "process 1 on" in (told := capsys.readouterr().err)
  assert "failed: --data_dir: no such folder" in told


def test_the_end_of_the_first_is_told_to_the_others(ended, capsys):
  first, _ = meet({}, {})
  first.end(Stopped("stopped at step 3", 143))
  assert ended.get(timeout=5) == 143
  assert capsys.readouterr().err == "process 0: stopped at step 3\n"


def test_a_number_that_is_taken_is_refused_and_the_others_go_on(ended, capsys):
  teams = meet({}, {}, {}, n=2, indices=[0, 1, 1], seconds=4)
  assert sum(isinstance(team, Team) for team in teams) == 2
  assert ended.get(timeout=5) == 2
  assert "--process_id=1 is that of a process on" in capsys.readouterr().err


def test_who_does_not_come_is_named():
  (error,) = meet({}, n=3, seconds=1)
  assert "after 1 s these of 3 processes have not come: --process_id=1,2" in error


def test_a_missing_first_process_is_named():
  (error,) = meet({}, n=2, indices=[1], seconds=1)
  assert "no process 0 answered within 1 s" in error


def test_strangers_at_the_port_are_ignored():
  port = free_port()
  team = make_team(2, 0)
  waiting = threading.Thread(
    target=joining._gather, args=(team, Rank("localhost", port, 2, 0), {}, 10), daemon=True
  )
  waiting.start()
  for said in ({}, {"process_id": "1"}, {"process_id": 1, "num_processes": 2, "host": 3}):
    with contextlib.closing(connect("localhost", port, 5)) as stranger:
      stranger.send(said)
  joining._follow(make_team(2, 1), Rank("localhost", port, 2, 1), {}, 5)
  waiting.join(5)
  assert not waiting.is_alive()


def test_a_port_in_use_is_named():
  port = free_port()
  listener = joining.serve(port, lambda channel: None)
  with pytest.raises(UserError, match=rf"--coordinator=localhost:{port}: process 0 cannot listen"):
    joining._gather(make_team(2, 0), Rank("localhost", port, 2, 0), {}, 1)
  close_socket(listener)


def test_ranks_are_read_from_flags():
  assert find_rank(None, None, None) is None
  assert find_rank("here:1", 1, 0) is None  # A process alone.
  assert find_rank("here:1234", 2, 1) == Rank("here", 1234, 2, 1)
  assert find_rank("[::1]:1234", 2, 0) == Rank("::1", 1234, 2, 0)


@pytest.mark.parametrize(
  ("given", "message"),
  [
    (("here:1", None, 0), "--num_processes must be given"),
    ((None, 2, 1), "--coordinator must be given"),
    (("here:1", 2, 2), "--process_id=2: of 2 processes the last is 1"),
    (("here", 2, 1), "write HOST:PORT"),
    (("here:99999", 2, 1), "write HOST:PORT"),
    (("here:x", 2, 1), "write HOST:PORT"),
    (("auto", 2, None), "leave --num_processes and --process_id out"),
    (("auto", None, None), "the environment is not that of SLURM"),
  ],
)
def test_wrong_ranks_are_refused(given, message):
  with pytest.raises(UserError, match=message):
    find_rank(*given)


def test_ranks_are_read_from_the_environment_of_slurm(monkeypatch):
  variables = {
    "SLURM_JOB_ID": "70001",
    "SLURM_STEP_NODELIST": "node[3-4]",
    "SLURM_NTASKS": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_JOB_NUM_NODES": "2",
  }
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  rank = find_rank("auto", None, None)
  assert rank == Rank("node3", rank.port, 2, 1, [0])


def test_a_process_alone_is_a_team_of_one():
  flag_values = flags.FlagValues()
  register_processes(flag_values)
  flag_values(["launcher"])
  with joining.joined(flag_values) as team:
    assert (team.n, team.leads, team.stop.signal) == (1, True, 0)
    team.tell("chunk", 1)
  assert joining.leave(3) == 3
