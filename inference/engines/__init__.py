"""Engines: implementations of video models behind one port."""
