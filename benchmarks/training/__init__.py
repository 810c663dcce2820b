"""Training and evaluation of nano, outside the product."""
