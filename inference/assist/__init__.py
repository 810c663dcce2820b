"""Prompt assistance: refinement by a language model, and random prompts without one."""
