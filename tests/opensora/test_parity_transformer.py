import pytest

torch = pytest.importorskip("torch")

from inference.opensora.geometry import PixelSize  # noqa: E402
from tests.opensora import opensora_vectors as vectors  # noqa: E402 - needs torch
from tests.opensora.original_notation import evaluate  # noqa: E402

pytestmark = pytest.mark.model

TOLERANCE = 1e-4


def run(model, case, given):
    return evaluate(
        model,
        given["in/x"],
        given["in/timestep"],
        given["in/y"],
        given.get("in/mask"),
        fps=given["in/fps"],
        size=PixelSize(case["height_px"], case["width_px"]),
        x_mask=given.get("in/x_mask"),
        cond=given.get("in/cond"),
        cond_mask=given.get("in/cond_mask"),
        mask_index=case.get("mask_index"),
        y_null=given.get("in/y_null"),
    )


@pytest.mark.parametrize(("folder", "case"), vectors.cases("stdit13"))
def test_one_evaluation_equals_the_original(folder, case):
    given = vectors.tensors(folder, "stdit13", case["case"])
    model = vectors.transformer(folder)

    out = run(model, case, given)

    assert out.dtype == torch.float32
    torch.testing.assert_close(out, given["out"], rtol=0, atol=TOLERANCE)


MODULES = {
    "x_embedder": "x_embedder",
    "t_embedder": "t_embedder",
    "fps_embedder": "fps_embedder",
    "t_block": "t_block",
    "spatial0_attn": "spatial_blocks.0.attn",
    "spatial0": "spatial_blocks.0",
    "temporal0_attn": "temporal_blocks.0.attn",
    "temporal0": "temporal_blocks.0",
    "final_layer": "final_layer",
}


@pytest.mark.parametrize(("folder", "case"), vectors.cases("stdit13", having="mid/spatial0"))
def test_what_happens_inside_equals_the_original(folder, case):
    given = vectors.tensors(folder, "stdit13", case["case"])
    recorded = {name.removeprefix("mid/") for name in given if name.startswith("mid/")}
    model = vectors.transformer(folder)
    seen = {}
    batch, _, frames, *sides = given["in/x"].shape
    grid = (batch, frames, *(-(-side // 2) for side in sides), model.config.hidden_size)

    def value(inputs, output):
        """Return what a module made: some change the tokens that they are given."""
        if output is None:
            tokens = inputs[0]
            return tokens.x + tokens.gate * tokens.update
        if not isinstance(output, list):
            return output
        whole = torch.empty(grid)
        for region, part in zip(inputs[2], output, strict=True):
            boxes = region.boxes(whole)
            boxes.copy_(part.view(boxes.shape))
        return whole

    for name in recorded & MODULES.keys():
        model.get_submodule(MODULES[name]).register_forward_hook(
            lambda _module, inputs, output, name=name: seen.update({name: value(inputs, output)})
        )

    run(model, case, given)

    seen["temporal0_attn"] = seen["temporal0_attn"].movedim(1, 3)  # recorded as B H W T C
    for name, value in seen.items():
        expected = given[f"mid/{name}"]
        torch.testing.assert_close(value.reshape(expected.shape), expected, rtol=0, atol=TOLERANCE)
    assert seen.keys() == recorded & MODULES.keys()


@pytest.mark.parametrize(("folder", "case"), vectors.cases("stdit13", having="mid/pos_embed"))
def test_the_position_table_equals_the_original(folder, case):
    given = vectors.tensors(folder, "stdit13", case["case"])
    model = vectors.transformer(folder)
    shape = given["in/x"].shape
    size = PixelSize(case["height_px"], case["width_px"])

    conditions = model.prepare(
        shape, [row[0] for row in given["in/y"]], fps=given["in/fps"], size=size
    )

    expected = given["mid/pos_embed"]
    torch.testing.assert_close(
        conditions.positions.reshape(expected.shape), expected, rtol=0, atol=TOLERANCE
    )
