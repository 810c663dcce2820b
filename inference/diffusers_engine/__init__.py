"""Video models in Diffusers layout: folders, families, and a pipeline that drives them."""
