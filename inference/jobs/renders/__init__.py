"""Renders of claimed jobs: their state in memory, their outcome and their charge."""
