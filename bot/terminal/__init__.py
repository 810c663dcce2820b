"""The terminal as a platform: threads are folders, and a chat talks over the control socket."""
