"""Options, commands, cards and texts, declared once for all platforms."""
