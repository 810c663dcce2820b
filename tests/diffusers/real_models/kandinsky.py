"""Kandinsky 6."""

from tests.diffusers.real_models.shared_parts import CLIP_TEXT, FLOW_MATCH, QWEN

KANDINSKY_LITE = {
    "_class_name": "Kandinsky6Transformer3DModel",
    "audio_freqs_scaling": 0.144,
    "axes_dims": [16, 24, 24],
    "axes_dims_a": [16, 24, 24],
    "ca_rope": True,
    "cross_gates": True,
    "ff_dim": 7168,
    "ff_dim_a": 3584,
    "fix_modulation": True,
    "in_audio_dim": 40,
    "in_text_dim": 3584,
    "in_text_dim2": 768,
    "in_visual_dim": 16,
    "is_multimodal": True,  # only in the file
    "model_dim": 1792,
    "model_dim_a": 896,
    "num_text_blocks": 2,
    "num_visual_blocks": 32,
    "out_audio_dim": 400,
    "out_visual_dim": 160,
    "patch_size": [1, 2, 2],
    "text_token_padding": True,
    "time_dim": 512,
    "time_dim_a": 512,
    "visual_cond": True,
    "visual_token_type_num_embeddings": 2,
}
PIFLOW = {
    "_class_name": "PiflowScheduler",
    "_diffusers_version": "0.41.0.dev0",
    "eps": 1e-06,
    "final_step_size_scale": 0.5,
    "n_grid": 10,
    "num_policy_substeps": 128,
    "num_train_timesteps": 1000,
    "shift": 5.0,
}


def _kandinsky(scheduler, transformer, **others):
    return {
        "audio_vae": ("diffusers", "MMAudioVAE", {"scaling_factor": 0.5302}),
        "scheduler": ("diffusers", scheduler["_class_name"], scheduler),
        "text_encoder": ("transformers", "Qwen2_5_VLForConditionalGeneration", QWEN),
        "text_encoder_2": ("transformers", "CLIPTextModel", CLIP_TEXT),
        "tokenizer": ("transformers", "Qwen2_5_VLProcessor", 151665),
        "tokenizer_2": ("transformers", "CLIPTokenizer", 49408),
        "transformer": ("diffusers", "Kandinsky6Transformer3DModel", transformer),
        "vae": ("diffusers", "AutoencoderKLHunyuanVideo", {}),
        "vocoder": ("diffusers", "MMAudioVocoder", {}),
        **others,
    }


MODELS = {
    "Kandinsky-6-Lite-distill": (
        "Kandinsky6TI2VAPipeline",
        {},
        _kandinsky(PIFLOW, KANDINSKY_LITE),
    ),
    "Kandinsky-6-Lite": (
        "Kandinsky6TI2VAPipeline",
        {},
        _kandinsky(
            FLOW_MATCH | {"shift": 5.0},
            KANDINSKY_LITE | {"out_audio_dim": 40, "out_visual_dim": 16},
        ),
    ),
}
