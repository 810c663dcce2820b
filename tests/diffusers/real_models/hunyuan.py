"""HunyuanVideo 1.5."""

from tests.diffusers.real_models.shared_parts import (
    BYT5,
    FLOW_MATCH,
    QWEN_READER,
    QWEN_TEXT,
    SIGLIP,
)


def _hunyuan(task, guidance=6.0, **others):
    guider = {"_class_name": "ClassifierFreeGuidance", "guidance_scale": guidance, "start": 0.0}
    return {
        "guider": ("diffusers", "ClassifierFreeGuidance", guider),
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", FLOW_MATCH | {"shift": 5.0}),
        "text_encoder": ("transformers", "Qwen2_5_VLTextModel", QWEN_TEXT),
        "text_encoder_2": ("transformers", "T5EncoderModel", BYT5),
        "tokenizer": QWEN_READER,
        "tokenizer_2": ("transformers", "ByT5Tokenizer", None),
        "transformer": ("diffusers", "HunyuanVideo15Transformer3DModel", {"task_type": task}),
        "vae": ("diffusers", "AutoencoderKLHunyuanVideo15", {}),
        **others,
    }


MODELS = {
    "HunyuanVideo-1.5-t2v": ("HunyuanVideo15Pipeline", {}, _hunyuan("t2v")),
    "HunyuanVideo-1.5-i2v-distilled": (
        "HunyuanVideo15ImageToVideoPipeline",
        {},
        _hunyuan(
            "i2v",
            1.0,
            image_encoder=("transformers", "SiglipVisionModel", SIGLIP),
            feature_extractor=("transformers", "SiglipImageProcessor", {"size": {"height": 384}}),
        ),
    ),
}
