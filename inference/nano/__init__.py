"""nano, the bundled model: the drawn scenes that it is trained on. See README.md in this folder."""
