"""Video models in Diffusers layout: folders with weights, model families, and their pipelines."""
