"""Several processes that train together: what they tell each other, and how they learn of a death.

Process 0 leads. It alone has the run folder, the loop and the output. It tells the others what it
computes next (`Team.tell`), and they compute the same (`Team.calls`). JAX moves the numbers between
the devices. Connections of our own (`experiments.host.channel`) carry the rest, as JAX ends a
process from C++, with a stack trace, where another one is missing or dies.
"""

import contextlib
import json
import os
import queue
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax

from experiments.host.channel import Channel, close_socket
from experiments.host.errors import Stopped, UserError
from experiments.host.signals import Stop

LOST = 4
"""Exit status where another process of a run was lost."""
_PATIENCE = 5.0  # Seconds for the reason of a broken computation, and for a farewell, to arrive.
_POLL = 0.2  # Seconds until a signal is passed on.


class Team:
  """The processes of a run, seen from one of them; a process alone is a team of one.

  Args:
    n: number of processes.
    index: which one this is, from 0.

  Attributes:
    n, index: as given.
    leads: whether this is process 0.
    stop: holds the signal that asked any of them to stop.
    listener: where process 0 is reached, by those who come late; None in the others.
  """

  def __init__(self, n: int = 1, index: int = 0):
    self.n, self.index, self.leads, self.stop = n, index, index == 0, Stop()
    # By process: all others in process 0, process 0 in the others.
    self._channels: dict[int, Channel] = {}
    self._hosts: dict[int, str] = {}
    self._inbox: queue.Queue[dict] = queue.Queue()
    self._ending = False
    self.listener: socket.socket | None = None

  def admit(self, index: int, host: str, channel: Channel) -> None:
    """Takes in another process: from now on its messages are read, and its death is noticed."""
    self._channels[index], self._hosts[index] = channel, host

    def lost(reason):
      if not self._ending:
        after = "the same commands go on from the last checkpoint"
        self._leave(LOST, f"error: {self._name(index)} has gone ({reason}): {after}")

    channel.listen(lambda message: self._handle(index, message), lost)

  def host(self, index: int) -> str | None:
    """The host of a process that was admitted; None for others."""
    return self._hosts.get(index)

  def tell(self, *call: Any) -> None:
    """In process 0, tells the others what is computed next: a name and arguments, as JSON."""
    if self.leads:
      self.send({"call": call})

  def wait(self) -> dict:
    """Returns the next message that is meant for the main thread."""
    return self._inbox.get()

  def calls(self) -> Iterator[list]:
    """Yields what process 0 tells until it ends, and passes signals that ask to stop on to it."""
    passed = 0
    while True:
      if self.stop.signal != passed:
        passed = self.stop.signal
        self.send({"stop": passed})
      try:
        message = self._inbox.get(timeout=_POLL)
      except queue.Empty:
        continue
      if "end" in message:
        return
      yield message["call"]

  def agree(self, **facts: Any) -> None:
    """Waits until all processes are here, and compares what each says.

    Args:
      facts: by name, as JSON.

    Raises:
      UserError: in process 0, another one says something else; names what differs and where.
    """
    if not self.leads:
      self.send({"facts": facts})
      if "end" in (message := self.wait()):
        self._inbox.put(message)  # For `calls`.
    elif self._channels:
      for message in [self.wait() for _ in self._channels]:
        self.compare(message["from"], message["facts"], facts)
      self.send({"go": True})

  def compare(self, index: int, theirs: dict, ours: dict) -> None:
    """Raises the UserError of `agree` if what a process says is not what this one says."""
    ours = json.loads(json.dumps(ours))
    differ = [
      f"{name} ({theirs.get(name)} there, {ours.get(name)} here)"
      for name in {**ours, **theirs}
      if theirs.get(name) != ours.get(name)
    ]
    if differ:
      raise UserError(
        f"{self._name(index)} differs from process 0 in {', '.join(differ)}: start all processes"
        " with the same flags, versions and data"
      )

  def end(self, error: BaseException | None) -> None:
    """Ends what the processes do together: well, or with this process's error."""
    if error is None:
      self._ending = True
      if self.leads:
        self.send({"end": [0, ""]})
      jax.distributed.shutdown()
      self.close()
      return
    if isinstance(error, jax.errors.JaxRuntimeError | ValueError):
      time.sleep(_PATIENCE)  # A computation breaks as a process dies: then `_leave` is called now.
    self._ending = True
    line = " ".join(str(error).split())[:500] or type(error).__name__
    if not self.leads:
      self.send({"failed": line})
      return
    status, kind = (error.status, "") if isinstance(error, Stopped) else (2, "error: ")
    self.send({"end": [status, f"{kind}process 0: {line}"]})
    for channel in self._channels.values():  # JAX's C++ would end those that are there after this.
      channel.closed.wait(_PATIENCE)

  def close(self) -> None:
    """Closes the connections."""
    self._ending = True
    for channel in self._channels.values():
      channel.close()
    if self.listener is not None:
      close_socket(self.listener)

  def _name(self, index):
    return f"process {index} on {self._hosts.get(index)}"

  def send(self, message: dict) -> None:
    """Sends a message to those that this process is connected with."""
    for channel in self._channels.values():
      channel.send(message)

  def _handle(self, index, message):
    if "failed" in message:
      self._leave(LOST, f"error: {self._name(index)} failed: {message['failed']}")
    elif "stop" in message:
      self.stop.signal = message["stop"]
    elif message.get("end", [0])[0] and not self.leads:  # The main thread may wait, for ever.
      self._leave(*message["end"])
    else:
      self._inbox.put(message | {"from": index})

  def _leave(self, status, line):
    """Ends this process at once, from whichever thread; process 0 tells the others why."""
    self._ending = True
    if self.leads:
      self.send({"end": [status, line]})
    print(line, file=sys.stderr)
    exit_now(status)


def exit_now(status: int) -> None:
  """Ends the process without JAX's end, which waits for the other processes."""
  with contextlib.suppress(Exception):
    sys.stdout.flush()
    sys.stderr.flush()
  os._exit(status)
