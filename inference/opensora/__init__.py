"""Open-Sora v1.3 in plain PyTorch: text or an image in, frames out.

A library of its own: nothing here knows of jobs or chat. Start at `pipeline.OpenSoraPipeline` to
make clips, at `checkpoint` to load weights, at `geometry` and `presets` for what needs no torch.

The numbers are those of the original (tag v1.3 of hpcaitech/Open-Sora); the tests hold them
against vectors recorded from it.
"""
