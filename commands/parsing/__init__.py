"""Typed text, taken apart into options."""
