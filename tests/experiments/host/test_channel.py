"""Connections between processes: messages, signs of life, and how a death is noticed."""

import contextlib
import queue
import socket
import threading

import pytest

from experiments.host import channel
from experiments.host.channel import Channel, close_socket, connect, free_port, serve


@pytest.fixture
def ends():
  """Two connected sockets."""
  first, second = socket.socketpair()
  # Of no address family in which there is an option of TCP's.
  yield Plain(first), Plain(second)
  close_socket(first)
  close_socket(second)


class Plain:
  """A socket that takes all options."""

  def __init__(self, connection):
    self._connection = connection

  def setsockopt(self, *arguments):
    pass

  def __getattr__(self, name):
    return getattr(self._connection, name)


def listen(end):
  heard, lost = queue.Queue(), queue.Queue()
  end.listen(heard.put, lost.put)
  return heard, lost


def test_messages_go_both_ways(ends):
  first, second = map(Channel, ends)
  heard, _ = listen(second)
  first.send({"call": ["chunk", 3]})
  assert heard.get(timeout=5) == {"call": ["chunk", 3]}
  second.send({"facts": {"x": "ä"}})
  assert first.receive() == {"facts": {"x": "ä"}}


def test_signs_of_life_keep_a_silent_process_alive_and_are_no_messages(ends, monkeypatch):
  monkeypatch.setattr(channel, "_BEAT", 0.05)
  monkeypatch.setattr(channel, "_SILENCE", 0.5)
  first, second = map(Channel, ends)
  heard, lost = listen(second)
  listen(first)
  with pytest.raises(queue.Empty):
    lost.get(timeout=1)
  assert heard.empty()


@pytest.mark.parametrize(
  ("said", "reason"),
  [
    (None, "closed"),
    (b"no JSON\n", "Expecting value"),
    (b"[1]\n", "no message"),
    (b"[" * 100_000 + b"\n", ""),
  ],
)
def test_what_ends_or_talks_nonsense_is_lost(ends, said, reason):
  heard, lost = listen(Channel(ends[1]))
  if said:
    ends[0].sendall(said)
  else:
    ends[0].shutdown(socket.SHUT_RDWR)
  assert reason in lost.get(timeout=5)
  assert heard.empty()


def test_a_process_that_hangs_is_lost(ends, monkeypatch):
  monkeypatch.setattr(channel, "_SILENCE", 0.2)
  _, lost = listen(Channel(ends[1]))
  assert "silent" in lost.get(timeout=5)


def test_one_may_connect_before_the_other_listens():
  port, welcomed = free_port(), queue.Queue()
  connected = queue.Queue()
  thread = threading.Thread(target=lambda: connected.put(connect("localhost", port, 10)))
  thread.start()
  listener = serve(port, welcomed.put)
  with contextlib.closing(welcomed.get(timeout=10)) as here:
    here.send({"address": "there"})
    with contextlib.closing(connected.get(timeout=10)) as there:
      assert there.receive() == {"address": "there"}
  thread.join()
  close_socket(listener)


def test_one_gives_up_where_nobody_listens():
  with pytest.raises(ConnectionRefusedError):
    connect("localhost", free_port(), 0.1)
