"""Media: watermark, video encoding, size reduction, and decoding of untrusted images."""
