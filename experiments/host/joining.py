"""How the processes of a run find each other: by flags, or by the cluster's environment."""

import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple, TypedDict

import jax
import msgspec
from absl import flags

from experiments.host.channel import Channel, connect, free_port, serve
from experiments.host.environment import versions
from experiments.host.errors import UserError
from experiments.host.processes import Team, exit_now
from experiments.host.streams import drop_errors

# Flags that may differ between processes: those of a process, and those of its machine.
_OWN = ("coordinator", "process_id", "join_seconds", "workdir", "data_dir", "compilation_cache")
# What JAX's C++ says of the death of process 0, at about the time when `Team` says it.
_SAID_TWICE = (
  "preemption_sync_manager|coordination_service|JAX distributed service|GRPC error information"
  "|^:UNKNOWN:Error received from peer"
)
_together = False  # Whether this process's end would wait for others.


class Rank(NamedTuple):
  """Where a process stands among those of a run.

  Attributes:
    host, port: where process 0 listens.
    n: number of processes.
    index: which one this is, from 0.
    devices: those of the machine that are this process's; None for all.
  """

  host: str
  port: int
  n: int
  index: int
  devices: list[int] | None = None


class _Hello(TypedDict):
  """What a process says first."""

  process_id: int
  num_processes: int
  host: str
  facts: dict


@contextlib.contextmanager
def joined(flag_values: flags.FlagValues) -> Iterator[Team]:
  """Brings the processes that the flags name together; call it before JAX has a device.

  Yields:
    The team; of one process without --coordinator. When the block ends, in whichever way, the
    others learn of it.

  Raises:
    UserError: a flag is wrong, or a process is missing, or differs in flags or versions.
  """
  global _together
  rank = find_rank(flag_values.coordinator, flag_values.num_processes, flag_values.process_id)
  if rank is None:
    yield Team()
    return
  facts = {
    f"--{name}": value for name, value in flag_values.flag_values_dict().items() if name not in _OWN
  }
  facts = json.loads(json.dumps(facts | versions(), default=str))
  team, error, _together = Team(rank.n, rank.index), None, True
  try:
    meet = _gather if team.leads else _follow
    address = meet(team, rank, facts, flag_values.join_seconds)
    jax.config.update("jax_enable_preemption_service", False)  # It would handle SIGTERM too.
    jax.distributed.initialize(address, rank.n, rank.index, rank.devices)
    yield team
  except BaseException as raised:
    error = raised
    raise
  finally:
    team.end(error)
  _together = False


def leave(status: int) -> int:
  """Returns an exit status; ends the process with it where a usual end would wait for others."""
  if _together:
    exit_now(status)
  return status


def find_rank(address: str | None, n: int | None, index: int | None) -> Rank | None:
  """Reads --coordinator, --num_processes and --process_id; None for a process alone.

  Raises:
    UserError: one of them is missing or wrong, or the environment is of no cluster.
  """
  if address == "auto":
    if (n, index) != (None, None):
      raise UserError(
        "--coordinator=auto reads the number of processes from the cluster: leave --num_processes"
        " and --process_id out"
      )
    return _find_in_cluster()
  given = {"--coordinator": address, "--num_processes": n, "--process_id": index}
  missing = [name for name, value in given.items() if value is None]
  if len(missing) == len(given):
    return None
  if missing:
    raise UserError(f"{' and '.join(missing)} must be given with the others of {', '.join(given)}")
  if index >= n:
    raise UserError(f"--process_id={index}: of {n} processes the last is {n - 1}")
  return _rank(address, n, index) if n > 1 else None


def _rank(address, n, index, devices=None):
  host, _, port = address.rpartition(":")
  if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
    raise UserError(f"--coordinator={address}: write HOST:PORT, such as localhost:1234, or auto")
  return Rank(host.strip("[]"), int(port), n, index, devices)


def _find_in_cluster():
  from jax._src.clusters import ClusterEnv  # What `jax.distributed.initialize` asks.

  try:
    found = ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, None, 300)
  except Exception as error:  # Of whichever scheduler.
    raise UserError(f"--coordinator=auto: the cluster's environment is broken: {error}") from error
  address, n, index, devices = found
  if None in (address, n, index):
    raise UserError(
      "--coordinator=auto: the environment is not that of SLURM, Open MPI, Kubernetes or a Cloud"
      " TPU: give --coordinator=HOST:PORT, --num_processes and --process_id"
    )
  return _rank(address, n, index, devices) if n > 1 else None


def _gather(team: Team, rank: Rank, facts: dict, seconds: float) -> str:
  """Waits for the others, as process 0, and returns the address of JAX's own service."""
  arrived, lock = queue.Queue(), threading.Lock()
  here = f"--coordinator={rank.host}:{rank.port}"

  def welcome(channel: Channel):
    try:
      hello = msgspec.convert(channel.receive(), _Hello)
    except (OSError, ValueError, RecursionError):
      channel.close()  # None of ours.
      return
    index, n = hello["process_id"], hello["num_processes"]
    with lock:
      other = team.host(index)
      if n == rank.n and 0 < index < n and other is None:
        team.admit(index, hello["host"], channel)
        arrived.put((index, hello["facts"]))
        return
    if n != rank.n:
      problem = f"--num_processes={rank.n} in process 0, {n} in process {index}: they must agree"
    else:
      problem = f"--process_id={index} is that of a process on {other}: give each process its own"
    print(f"warning: a process on {hello['host']} was refused: {problem}", file=sys.stderr)
    channel.send({"end": [2, f"error: {problem}"]})
    channel.close()

  try:
    team.listener = serve(rank.port, welcome)
  except OSError as error:
    raise UserError(
      f"{here}: process 0 cannot listen there ({os.strerror(error.errno)}): if none is there"
      " already, choose another port"
    ) from error
  deadline, theirs = time.monotonic() + seconds, {}
  while len(theirs) < rank.n - 1:
    try:
      index, theirs[index] = arrived.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty as error:
      missing = [str(i) for i in range(1, rank.n) if i not in theirs]
      raise UserError(
        f"{here}: after {seconds} s these of {rank.n} processes have not come: --process_id="
        f"{','.join(missing)}; start them within --join_seconds"
      ) from error
  for index in sorted(theirs):
    team.compare(index, theirs[index], facts)
  address = f"[{rank.host}]:{free_port()}" if ":" in rank.host else f"{rank.host}:{free_port()}"
  team.send({"address": address})
  return address


def _follow(team: Team, rank: Rank, facts: dict, seconds: float) -> str:
  """Joins process 0, and returns the address of JAX's own service."""
  try:
    channel = connect(rank.host, rank.port, seconds)
  except OSError as error:
    raise UserError(
      f"--coordinator={rank.host}:{rank.port}: no process 0 answered within {seconds} s"
      f" ({error.strerror or error}): start it, or correct the address"
    ) from error
  own = {"process_id": rank.index, "num_processes": rank.n, "host": socket.gethostname()}
  channel.send(own | {"facts": facts})
  team.admit(0, rank.host, channel)
  drop_errors(_SAID_TWICE)
  return team.wait()["address"]
