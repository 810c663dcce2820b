"""CogVideoX."""

from tests.diffusers.real_models.shared_parts import T5_READER, T5_XXL

COG_DDIM = {
    "_class_name": "CogVideoXDDIMScheduler",
    "_diffusers_version": "0.30.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "snr_shift_scale": 3.0,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
    "trained_betas": None,
}
COG_5B = {
    "_class_name": "CogVideoXTransformer3DModel",
    "num_attention_heads": 48,
    "num_layers": 42,
    "text_embed_dim": 4096,
    "use_rotary_positional_embeddings": True,
    "use_learned_positional_embeddings": False,
}


def _cog(transformer, **vae):
    return {
        "scheduler": ("diffusers", "CogVideoXDDIMScheduler", COG_DDIM),
        "text_encoder": ("transformers", "T5EncoderModel", T5_XXL),
        "tokenizer": T5_READER,
        "transformer": ("diffusers", "CogVideoXTransformer3DModel", transformer),
        "vae": ("diffusers", "AutoencoderKLCogVideoX", vae),
    }


MODELS = {
    "CogVideoX-2b": ("CogVideoXPipeline", {}, _cog({"num_layers": 30})),
    "CogVideoX-5b": ("CogVideoXPipeline", {}, _cog(COG_5B, scaling_factor=0.7)),
    "CogVideoX-5b-I2V": (
        "CogVideoXImageToVideoPipeline",
        {},
        _cog(COG_5B | {"in_channels": 32, "use_learned_positional_embeddings": True}),
    ),
    "CogVideoX1.5-5B": (
        "CogVideoXPipeline",
        {},
        _cog(
            COG_5B | {"patch_size_t": 2, "patch_bias": False, "sample_frames": 81},
            invert_scale_latents=True,
        ),
    ),
}
