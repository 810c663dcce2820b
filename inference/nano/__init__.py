"""How the small model that ships was trained, and how well it does. See README.md beside this."""
