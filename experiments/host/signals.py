"""Handlers for the signals that ask a run to stop."""

import contextlib
import dataclasses
import signal
import sys
from collections.abc import Iterator


@dataclasses.dataclass
class Stop:
  """Holder of the signal that asked to stop, 0 until one does."""

  signal: int = 0


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
  """Remembers Ctrl-C and SIGTERM until the chunk ends; the second signal acts at once."""
  stop = Stop()

  def remember(number, frame):
    del frame
    stop.signal = number
    signal.signal(number, previous[number])
    print("stopping when this chunk of steps ends; once more to stop at once", file=sys.stderr)

  previous = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield stop
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)
