"""All tests, as a package of this name: one that somebody installed must not be found first."""
