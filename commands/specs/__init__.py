"""Specs: resolved from layers of settings, and checked against a model."""
