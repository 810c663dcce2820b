"""Parser of typed text: flags, quotes, values, suggestions."""
