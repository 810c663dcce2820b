"""Open-Sora v1.3 in plain PyTorch: makes video frames from text or an image.

A library without jobs or chat. Start at `pipeline.OpenSoraPipeline` to make clips and at
`checkpoint` to load weights; `geometry` and `presets` need no torch.

The numbers are those of the original, https://github.com/hpcaitech/Open-Sora/tree/v1.3; tests
compare them with vectors that were recorded from it.
"""
