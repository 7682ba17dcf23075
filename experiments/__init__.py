"""The launchers, run from a clone: `python -m experiments.<name>`."""

import signal
import sys

from experiments.host.signals import exit_at_once
from experiments.host.streams import fill_descriptors

if sys.argv[0] == "-m":  # Python imports the launcher that it was asked for.
  fill_descriptors()
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, exit_at_once)
  try:
    import chex  # noqa: F401 - it asks for a folder for temporary files, and JAX for its variables
  except ValueError as error:
    print(f"error: {error}: mend or unset that variable of the environment", file=sys.stderr)
    sys.exit(2)
  except OSError as error:
    print(f"error: {error.strerror}: make room, or set TMPDIR", file=sys.stderr)
    sys.exit(2)
