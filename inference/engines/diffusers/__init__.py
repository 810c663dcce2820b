"""Video models in Diffusers layout, behind the engine port."""
