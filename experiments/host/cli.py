"""Runs launchers: a command line into `main`, its errors into one line and an exit status."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence

import jax
from absl import flags

from experiments.host.errors import Stopped, UserError
from experiments.host.joining import leave
from experiments.host.signals import exit_at_once
from experiments.host.streams import make_unfailing
from wgan_jax.data.images import DataError


def run(
  main: Callable[[flags.FlagValues], None],
  register: Callable[[flags.FlagValues], None],
  doc: str,
  argv: Sequence[str] | None = None,
) -> int:
  """Runs a launcher on a command line, and turns its errors into one line and an exit status.

  The flags live in a FlagValues of their own, not in absl's global one. So one process can run
  several launchers, or one launcher twice.

  Args:
    main: does the work; may raise UserError, DataError or Stopped.
    register: defines the launcher's flags.
    doc: what `--help` prints before the flags.
    argv: the command line with the program's name first; None for this process's.

  Returns:
    The exit status: 0, 2 for an error that a user can mend, 130 for Ctrl-C, or that of `Stopped`.
  """
  return leave(_run(main, register, doc, argv))


def _run(main, register, doc, argv):
  if argv is None:
    gc.freeze()  # All modules stay: to look for garbage among them takes .3 s of a start.
    make_unfailing()
    os.environ["MPLBACKEND"] = "agg"  # A notebook's, which it inherits, may not be importable.
  flag_values = flags.FlagValues()
  register(flag_values)
  flags.DEFINE_boolean("help", False, "Show this help and exit.", flag_values=flag_values)
  try:
    if signal.getsignal(signal.SIGINT) is exit_at_once:
      signal.signal(signal.SIGINT, signal.default_int_handler)
    _, *stray = flag_values(list(sys.argv if argv is None else argv))
    if flag_values.help:
      print(f"{doc.strip()}\n\nFlags:\n{_help(flag_values)}")
      return 0
    if stray:
      raise UserError(f"stray argument {stray[0]!r}: every option is written --name=value")
    main(flag_values)
  except (flags.Error, UserError, DataError) as error:
    return _fail(error)
  except Stopped as ending:
    print(ending, file=sys.stderr)
    return ending.status
  except KeyboardInterrupt:
    print("interrupted; the same command goes on from what is written", file=sys.stderr)
    return 130
  except ImportError as error:
    if "pip install" not in str(error):
      raise
    return _fail(error)  # A package of an extra: the message names it.
  except OSError as error:
    return _fail(f"{error.filename or 'a file'}: {error.strerror or error}")
  except (MemoryError, jax.errors.JaxRuntimeError) as error:
    if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
      raise
    sizes = ("batch_size", "width", "members_at_once", "n")
    lower = ", ".join(f"--{name}" for name in sizes if name in flag_values)
    if "micro_batches" in flag_values:
      lower += ", raise --micro_batches, or add --rematerialize"
    return _fail(f"out of memory: {f'lower {lower}' if lower else 'free some, and go on'}")
  return 0


def _fail(message: object) -> int:
  print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
  return 2


def _help(flag_values: flags.FlagValues) -> str:
  """Describes each flag: its values and bounds, what it is for, its default."""
  lines = []
  for name in flag_values:
    flag = flag_values[name]
    shown = ",".join(map(str, flag.default)) if isinstance(flag.default, tuple) else flag.default
    default = "" if shown is None else f" (default: {shown})"
    choices = getattr(flag.parser, "enum_values", None)
    values = "{" + ",".join(choices) + "}" if choices else flag.flag_type()
    low, high = (getattr(flag.parser, f"{end}_bound", None) for end in ("lower", "upper"))
    bounds = "" if low is None else f" ({low} to {high})"
    text = flag.help.rpartition(">: ")[2]  # absl writes the choices before an enum's help.
    lines.append(f"  --{name}={values}{bounds}\n      {text}{default}")
  return "\n".join(lines)
