"""Handlers for the signals that ask a run to stop."""

import contextlib
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Iterator

_ASK_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@dataclasses.dataclass
class Stop:
  """Holder of the signal that asked to stop, 0 until one does."""

  signal: int = 0


def exit_at_once(*_) -> None:
  """Ends the process at Ctrl-C while it imports: nothing is begun, and a traceback says nothing."""
  with contextlib.suppress(OSError):
    os.write(2, b"interrupted before it began\n")
  os._exit(130)


@contextlib.contextmanager
def stop_signals(unit: str = "chunk of steps", stop: Stop | None = None) -> Iterator[Stop]:
  """Remembers Ctrl-C, SIGTERM and SIGUSR1 until a unit ends; the second signal acts at once.

  SIGUSR1 is what a cluster's scheduler sends some time before it kills. Only the main thread can
  handle signals: in another one, none is remembered.

  Args:
    unit: what the caller ends before it stops, in words.
    stop: the holder that remembers; a new one, if not given.
  """
  stop = stop or Stop()
  if threading.current_thread() is not threading.main_thread():
    yield stop
    return

  def remember(number, frame):
    del frame
    stop.signal = number
    signal.signal(number, previous[number])
    print(f"stopping when this {unit} ends; once more to stop at once", file=sys.stderr)

  previous = {number: signal.signal(number, remember) for number in _ASK_TO_STOP}
  try:
    yield stop
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)
