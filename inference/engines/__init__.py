"""Engines: video models behind one port."""
