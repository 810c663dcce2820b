"""Effects of plugins, applied to the decoded frames before the watermark."""
