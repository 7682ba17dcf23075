"""Pictures as PNG."""

import io
from typing import NamedTuple

from matplotlib.figure import Figure

DPI = 100


class Picture(NamedTuple):
  """A PNG with its caption."""

  caption: str
  png: bytes


def render(figure: Figure) -> bytes:
  """Renders a figure as PNG, the same bytes for the same figure."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
  return buffer.getvalue()
