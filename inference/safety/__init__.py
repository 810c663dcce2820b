"""Content moderation of prompts, reference images and results."""
