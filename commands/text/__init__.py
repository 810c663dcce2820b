"""Texts that people read: catalogs and cards."""
