"""The models behind one port."""
