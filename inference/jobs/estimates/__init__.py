"""Time estimates, learned from finished renders, and the progress of running ones."""
