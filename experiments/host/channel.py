"""A connection between two processes of a run: lines of JSON, and whether the other lives.

It is not secured: whoever reaches the port can end a run. So it is with JAX's own connections.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable

_BEAT, _SILENCE = 4.0, 20.0  # Seconds between signs of life, and until their lack means death.
_LONGEST = 2**20  # Bytes of a line.


class Channel:
  """One end of a connection.

  Args:
    connection: the connected socket.

  Attributes:
    closed: set when the other end has gone.
  """

  def __init__(self, connection: socket.socket):
    # By Nagle's algorithm a short line would wait for the answer to the one before.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(_SILENCE)
    self.closed = threading.Event()
    self._connection, self._lock = connection, threading.Lock()
    self._lines = connection.makefile("rb")

  def send(self, message: dict) -> None:
    """Sends a message; nothing happens if the other end has gone, which `listen` notices."""
    with contextlib.suppress(OSError), self._lock:
      self._connection.sendall(json.dumps(message).encode() + b"\n")

  def receive(self) -> dict:
    """Waits for a message; {} is a sign of life.

    Raises:
      OSError: the other end has gone, or is silent for too long.
      ValueError: what came is no message.
    """
    line = self._lines.readline(_LONGEST)
    if not line:
      raise ConnectionError("closed")
    message = json.loads(line)
    if not isinstance(message, dict):
      raise ValueError("no message")
    return message

  def listen(self, handle: Callable[[dict], None], lost: Callable[[str], None]) -> None:
    """Reads in a thread until the other end goes, and shows in another that this one is there.

    Args:
      handle: called with each message.
      lost: called once, with the reason.
    """
    threading.Thread(target=self._read, args=(handle, lost), daemon=True).start()
    threading.Thread(target=self._beat, daemon=True).start()

  def close(self) -> None:
    """Closes this end; the other one notices."""
    close_socket(self._connection)
    self._lines.close()

  def _read(self, handle, lost):
    try:
      while True:
        if message := self.receive():
          handle(message)
    except TimeoutError:
      reason = f"it was silent for {_SILENCE:.0f} s"
    except (OSError, ValueError, RecursionError) as error:
      reason = str(error) or type(error).__name__
    self.closed.set()
    self.close()
    lost(reason)

  def _beat(self):
    while not self.closed.wait(_BEAT):
      self.send({})


def connect(host: str, port: int, seconds: float) -> Channel:
  """Connects to a process that may not listen yet.

  Raises:
    OSError: it did not within `seconds`; the last reason.
  """
  deadline = time.monotonic() + seconds
  while True:
    try:
      return Channel(socket.create_connection((host, port), timeout=_SILENCE))
    except OSError:
      if time.monotonic() > deadline:
        raise
    time.sleep(0.2)


def serve(port: int, welcome: Callable[[Channel], None]) -> socket.socket:
  """Listens on a port of all interfaces, in threads.

  Args:
    port: 0 for a free one.
    welcome: called in a thread with each connection.

  Returns:
    The listening socket.

  Raises:
    OSError: the port cannot be had.
  """
  if socket.has_dualstack_ipv6():
    listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
  else:
    listener = socket.create_server(("", port))

  def accept():
    with contextlib.suppress(OSError):  # Closed.
      while True:
        channel = Channel(listener.accept()[0])
        threading.Thread(target=welcome, args=(channel,), daemon=True).start()

  threading.Thread(target=accept, daemon=True).start()
  return listener


def close_socket(connection: socket.socket) -> None:
  """Closes a socket, which wakes a thread that waits for it."""
  with contextlib.suppress(OSError):
    connection.shutdown(socket.SHUT_RDWR)
  connection.close()


def free_port() -> int:
  """Returns a port that nothing listens on now."""
  with socket.create_server(("", 0)) as listener:
    return listener.getsockname()[1]
