"""What people can ask, declared once for all platforms: options, commands, cards and texts."""
