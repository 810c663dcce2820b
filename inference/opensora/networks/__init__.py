"""Neural networks of Open-Sora: transformer and VAE."""
