"""Failing states of the doctor: weights."""

from __future__ import annotations

from bot.doctor import storage
from bot.doctor.findings import Level
from inference.engines.weights import OPENSORA
from inference.opensora.files import checkpoint_path
from tests.scenario.doctor.findings import config, only


def test_weights_that_are_not_there(tmp_path):
    models = {"installed": ["opensora"], "directory": tmp_path}
    only(
        storage.model_weights(config(tmp_path, models=models)), Level.FAIL, "error.model.no_weights"
    )


def test_weights_without_checksums_are_not_said_to_match_them(tmp_path):
    for checkpoint in OPENSORA:
        folder = checkpoint_path(checkpoint.source, tmp_path)
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        for name in ("model.safetensors", "diffusion_pytorch_model.safetensors"):
            (folder / name).write_bytes(b"copied by hand")
    models = {"installed": ["opensora"], "directory": tmp_path}
    [found] = storage.model_weights(config(tmp_path, models=models))
    assert (found.level, found.code) == (Level.OK, "doctor.weights.unverified")
    assert "match" not in found.text("en")


def test_weights_that_are_damaged(tmp_path):
    for checkpoint in OPENSORA:
        folder = checkpoint_path(checkpoint.source, tmp_path)
        hub = folder / ".cache" / "huggingface" / "download"
        hub.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"damaged")
        (hub / "model.safetensors.metadata").write_text(f"commit\n{'0' * 64}\n0\n")
    models = {"installed": ["opensora"], "directory": tmp_path}
    only(
        storage.model_weights(config(tmp_path, models=models)),
        Level.FAIL,
        "error.checkpoint.checksum",
    )
