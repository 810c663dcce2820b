"""The Hugging Face hub: downloads of checkpoints, and what they will take. Needs no torch."""
