"""Loading of plugins, with a trial import of each in a child process."""
