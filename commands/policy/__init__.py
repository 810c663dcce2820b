"""Permissions, settings, limits and blocks, with their stores."""
