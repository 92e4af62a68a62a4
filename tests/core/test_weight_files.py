"""Files of open weights are looked at before anything is loaded, and without torch."""

import json
import struct

import pytest

from krea_pipe.core.weight_files import fit_reason, lora_problem, model_problem, read_shapes, weights_in

PLACE = "transformer.transformer_blocks.0.attn.to_q"
FITTING = {f"{PLACE}.lora_A.weight": (4, 64), f"{PLACE}.lora_B.weight": (32, 4)}
MODEL = {"transformer_blocks.0.attn.to_q.weight": (32, 64), "final_layer.norm.weight": (64,)}


def safetensors(shapes, *, metadata=None, cut=0):
    """A file of zeros with these shapes."""
    header, end = {} if metadata is None else {"__metadata__": metadata}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + bytes(end)
    return data[: len(data) - cut]


@pytest.fixture
def write(tmp_path):
    def write(data):
        file = tmp_path / "style.safetensors"
        file.write_bytes(data)
        return file

    return write


@pytest.mark.parametrize("prefix", ["transformer.", "diffusion_model.", "base_model.model."])
def test_the_lora_of_a_trainer_of_krea_2_is_one(write, prefix):
    shapes = {name.replace("transformer.", prefix, 1): shape for name, shape in FITTING.items()}
    file = write(safetensors(shapes, metadata={"format": "pt"}))
    assert lora_problem(file) is None
    assert read_shapes(file) == shapes


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, "the file has no tensors"),
        (
            {"transformer_blocks.0.attn.to_q.lora_A.weight": (4, 64)},
            'a LoRA of Krea 2 has names that begin with "transformer.", and this file has '
            '"transformer_blocks.0.attn.to_q.lora_A.weight"',
        ),
        (
            {**FITTING, "unet.down_blocks.0.lora_A.weight": (4, 64)},
            'a LoRA of Krea 2 has names that begin with "transformer.", and this file has '
            '"unet.down_blocks.0.lora_A.weight"',
        ),
        (
            {**FITTING, f"{PLACE}.dora_scale": (32, 1)},
            f'"{PLACE}.dora_scale" is not the tensor of a LoRA: only lora_A.weight and lora_B.weight are supported',
        ),
        (
            {f"{PLACE}.lokr_w1": (4, 4)},
            f'"{PLACE}.lokr_w1" is not the tensor of a LoRA: only lora_A.weight and lora_B.weight are supported',
        ),
    ],
)
def test_a_file_that_diffusers_would_load_and_not_use_is_refused(write, shapes, message):
    file = write(safetensors(shapes))
    problem = lora_problem(file)
    assert (problem.code, problem.message, problem.at.path) == ("not_a_lora", message, file)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 a pickle in an archive",
        b"\x80\x02}q\x00.",
        safetensors(FITTING, cut=1),
        safetensors(FITTING) + b"x",
        struct.pack("<Q", 2**40),
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 10) + b'{"a": 1}  ',
        struct.pack("<Q", 60_000) + b"[" * 60_000,
    ],
)
def test_a_file_that_is_not_whole_safetensors_is_refused(write, data):
    problem = lora_problem(write(data))
    assert (problem.code, problem.message) == ("not_safetensors", "this is not a whole safetensors file")


def test_a_missing_lora_is_named(tmp_path):
    problem = lora_problem(tmp_path / "house.safetensors")
    assert (problem.code, problem.message) == ("no_lora", "the file does not exist")


def test_a_lora_that_fits_has_nothing_wrong():
    assert fit_reason(FITTING, MODEL) is None


@pytest.mark.parametrize(
    ("lora", "reason"),
    [
        (
            {name.replace("blocks.0", "blocks.9"): shape for name, shape in FITTING.items()},
            'the model has no layer "transformer_blocks.9.attn.to_q"',
        ),
        (
            {
                name.replace("transformer_blocks.0.attn.to_q", "final_layer.norm"): shape
                for name, shape in FITTING.items()
            },
            'the model has no layer "final_layer.norm"',
        ),
        (
            {**FITTING, f"{PLACE}.lora_A.weight": (4, 65)},
            'its part for "transformer_blocks.0.attn.to_q" has 65 inputs and 32 outputs, and '
            "the layer of the model has 64 and 32",
        ),
        (
            {f"{PLACE}.lora_A.weight": (4, 64)},
            'the two parts for "transformer_blocks.0.attn.to_q" do not belong together',
        ),
        (
            {**FITTING, f"{PLACE}.lora_A.weight": (8, 64)},
            'the two parts for "transformer_blocks.0.attn.to_q" do not belong together',
        ),
    ],
)
def test_a_lora_that_does_not_fit_a_model_is_told_why(lora, reason):
    assert fit_reason(lora, MODEL) == reason


@pytest.fixture
def model(tmp_path):
    """A folder that looks like Krea 2."""

    def make(index=None, **fields):
        whole = {
            "_class_name": "Krea2Pipeline",
            "is_distilled": False,
            "text_encoder_select_layers": [1, 2],
            "text_encoder": ["transformers", "Qwen3VLModel"],
            "transformer": ["diffusers", "Krea2Transformer2DModel"],
            "vae": ["diffusers", "AutoencoderKLQwenImage"],
            "tokenizer": ["transformers", "Qwen2Tokenizer"],
        }
        folder = tmp_path / "model"
        for part in ("text_encoder", "transformer", "vae", "tokenizer"):
            (folder / part).mkdir(parents=True)
            (folder / part / "model.safetensors").write_bytes(b"")
        (folder / "model_index.json").write_text(json.dumps({**whole, **fields}) if index is None else index)
        return folder

    return make


def test_a_folder_with_krea_2_has_nothing_wrong(model):
    assert model_problem(model()) is None


@pytest.mark.parametrize(("is_distilled", "weights"), [(True, "turbo"), (False, "raw"), (None, "raw")])
def test_the_index_of_a_model_says_which_weights_it_has(model, is_distilled, weights):
    assert weights_in(model(is_distilled=is_distilled)) == weights


@pytest.mark.parametrize("name", ["FluxPipeline", ["pipeline", "Krea2Pipeline"], None])
def test_a_model_of_another_class_is_not_krea_2(model, name):
    problem = model_problem(model(_class_name=name))
    assert (problem.code, problem.message) == ("not_krea_2", f"the model is not Krea 2: it is for {name}")


@pytest.mark.parametrize("index", ["", "[]", "null", "[" * 60_000])
def test_an_index_that_is_none_is_refused(model, index):
    assert model_problem(model(index)).code == "no_model"


def test_a_folder_without_an_index_is_no_model(tmp_path):
    problem = model_problem(tmp_path)
    assert (problem.code, problem.message) == ("no_model", "cannot read the model: No such file or directory")


def test_a_model_with_code_of_its_own_is_refused(model):
    problem = model_problem(model(transformer=["own_transformer", "Better"]))
    assert problem.code == "model_with_code"
    assert '"transformer"' in problem.message


def test_a_model_with_a_tokenizer_of_its_own_is_refused(model):
    folder = model()
    (folder / "tokenizer" / "tokenizer_config.json").write_text(
        '{"auto_map": {"AutoTokenizer": ["own.Tokenizer", null]}}'
    )
    problem = model_problem(folder)
    assert problem.code == "model_with_code"
    assert '"tokenizer"' in problem.message


@pytest.mark.parametrize("part", ["text_encoder", "transformer", "vae"])
def test_weights_that_can_run_code_are_refused(model, part):
    folder = model()
    (folder / part / "model.safetensors").rename(folder / part / "pytorch_model.bin")
    problem = model_problem(folder)
    assert (problem.code, problem.at.path) == ("no_safetensors", folder / part)
    assert problem.message == "only weights that can run code when they are loaded are here"


def test_a_model_without_weights_is_refused(model):
    folder = model()
    (folder / "vae" / "model.safetensors").unlink()
    assert model_problem(folder).message == "no weights are here"
