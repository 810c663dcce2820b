"""Plugins: objects of other distributions, found by entry-point groups such as `rushes.models`."""

from inference.plugins.descriptor import API, Plugin
from inference.plugins.problem import PluginError

__all__ = ["API", "Plugin", "PluginError"]
