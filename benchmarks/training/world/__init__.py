"""The drawn world that nano is trained on: scenes, and how people say them."""
