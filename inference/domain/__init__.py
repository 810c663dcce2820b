"""Domain types and pure rules, imported by every other package."""
