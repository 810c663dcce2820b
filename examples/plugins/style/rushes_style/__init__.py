"""Style transfer for Rushes: a clip in the colours and light of a picture."""

from __future__ import annotations

from inference.plugins import Plugin

PLUGIN = Plugin(api=1)
"""Named by the entry point of `rushes.plugins`."""
