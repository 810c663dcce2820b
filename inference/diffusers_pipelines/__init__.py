"""Video models in Diffusers layout, without the engine port: families, weights, pipelines."""
