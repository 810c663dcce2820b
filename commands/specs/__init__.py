"""Specs: what a job is made from, resolved from layers of settings, and checked against a model."""
