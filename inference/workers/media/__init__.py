"""Media processes, which open untrusted files in a sandbox."""
