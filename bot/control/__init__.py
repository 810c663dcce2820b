"""The control socket: HTTP between a running Rushes and the command line."""
