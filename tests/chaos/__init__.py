"""The crash suite: a chat that remembers everything, and a bot that is killed in front of it.

`python -m tests.chaos.run` (or `make chaos`) kills the real process at every fault point and at a
hundred random moments, and prints what was lost, duplicated or left stuck.
"""
