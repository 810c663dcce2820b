"""The media process: opens untrusted files in a sandbox."""
