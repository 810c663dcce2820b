"""The processes that do the heavy work: one per GPU, one for untrusted media."""
