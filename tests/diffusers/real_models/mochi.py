"""Mochi 1."""

from tests.diffusers.real_models.shared_parts import FLOW_MATCH, T5_READER, T5_XXL

MODELS = {
    "mochi-1-preview": (
        "MochiPipeline",
        {"force_zeros_for_empty_prompt": False},
        {
            "scheduler": (
                "diffusers",
                "FlowMatchEulerDiscreteScheduler",
                FLOW_MATCH | {"invert_sigmas": True},
            ),
            "text_encoder": ("transformers", "T5EncoderModel", T5_XXL),
            "tokenizer": T5_READER,
            "transformer": ("diffusers", "MochiTransformer3DModel", {}),
            "vae": ("diffusers", "AutoencoderKLMochi", {}),
        },
    ),
}
