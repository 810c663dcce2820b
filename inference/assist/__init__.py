"""Better prompts: from an assistant where one is configured, by lot where none is."""
