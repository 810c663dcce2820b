"""The models that ship, as a config without tables has them."""

from __future__ import annotations

from inference.engines.registry import Models

MODELS = Models()
