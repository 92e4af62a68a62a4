"""What a pipeline file may say of an engine, and what of its fields the engine can draw: each mistake at its place."""

import json

import pytest

SERVER = "kind: openai-images, dialect: vllm-omni, url: http://localhost:8000/v1, model: krea/Krea-2-Turbo"
HERE = "kind: diffusers, model: krea/Krea-2-Raw"


def checked(project, engine, more=""):
    project.write("p.yaml", f"version: 1\nengine: {{{engine}}}\nprompt: a lamp\n{more}")
    done = project.run("validate", "p.yaml", "--json")
    [file] = done.json["files"]
    return done.code, [(one["code"], one["at"]["line"], one["at"]["column"]) for one in file["problems"]]


@pytest.mark.parametrize(
    "engine",
    [
        SERVER,
        SERVER.replace("vllm-omni", "sglang"),
        SERVER.replace("Turbo", "Raw"),
        SERVER.replace("krea/Krea-2-Turbo", "house, weights: raw"),
        SERVER.replace("http://localhost:8000/v1", '["http://gpu-1:1/v1", "https://gpu-2/v1"]'),
        f"{SERVER}, key_env: GPU_KEY",
        HERE,
        f"{HERE}, device: cpu, steps: 4, guidance: 3, negative_prompt: text",
        "kind: diffusers, model: ./models/own, weights: turbo, revision: v1",
    ],
)
def test_an_engine_that_can_be_used_is_valid(project, engine):
    assert checked(project, engine) == (0, [])


def column(engine, part):
    """Where a part of the engine begins, in the file that `checked` writes."""
    return len("engine: {") + engine.index(part) + 1


@pytest.mark.parametrize(
    ("engine", "code", "part"),
    [
        (SERVER.replace("vllm-omni", "vllm"), "invalid_value", "vllm,"),
        (SERVER.replace("openai-images", "comfy"), "invalid_value", "comfy"),
        (SERVER.replace("http://", "ftp://"), "engine_address", "ftp"),
        (SERVER.replace("localhost", "me:word@gpu"), "secret_in_file", "http"),
        (SERVER.replace("localhost", "gpu-1") + ", key_env: K", "engine_key_exposed", "http"),
        (SERVER.replace("krea/Krea-2-Turbo", "flux/dev"), "unknown_model", "flux"),
        (f"{SERVER}, weights: raw", "invalid_value", "raw"),
        (SERVER.replace("vllm-omni", "sglang").replace("Turbo", "Raw"), "wrong_engine", "krea/"),
        (f"{SERVER}, steps: 0", "out_of_range", "0"),
        (f"{SERVER}, negative_prompt: text", "no_effect", "negative_prompt"),
        (f"{SERVER}, guidance: 21", "invalid_value", "21"),
        (f"{SERVER}, device: cuda", "unknown_key", "device"),
        (f"{HERE}, url: http://localhost", "unknown_key", "url"),
        (f"{SERVER}, lora: x", "unknown_key", "lora"),
        (f"{SERVER}, loras: {{house: gone.safetensors}}", "reference_missing", "gone"),
        ("kind: diffusers, model: ./models/own, weights: raw", "missing_key", "./models"),
    ],
)
def test_a_mistake_in_an_engine_is_said_at_its_place(project, engine, code, part):
    where = [] if part == "0" else [(code, 2, column(engine, part))]
    found = checked(project, engine)
    assert (found[0], [one[0] for one in found[1]]) == (2, [code])
    assert not where or found[1] == where


def test_what_is_missing_is_said_all_at_once(project):
    code, found = checked(project, "kind: openai-images")
    assert (code, [one[0] for one in found]) == (2, ["missing_key"] * 3)


NOT_DRAWN = [
    ("defaults: {variant: large}", "variant"),
    ("defaults: {creativity: low}", "creativity"),
    ("matrix: {creativity: [raw, high]}", "creativity"),
    ("defaults: {intensity: 20}", "intensity"),
    ("defaults: {complexity: -5}", "complexity"),
    ("defaults: {movement: 1}", "movement"),
    ("references: [{image: 'https://example.com/a.png'}]", "references"),
    ("moodboards: [{id: 3f0c9c1e-8f1b-4f0e-9f5d-2b7a1c6d4e90}]", "moodboards"),
    ("styles: [{id: st_1}]", "styles"),
    ("image: https://example.com/a.png", "image"),
]


@pytest.mark.parametrize(("more", "field"), NOT_DRAWN)
def test_what_the_weights_cannot_do_is_an_error_where_it_is_written(project, more, field):
    code, found = checked(project, SERVER, f"{more}\n")
    assert (code, {line for _, line, _ in found}) == (2, {4})
    assert f"ignore: [{field}]" in project.run("validate", "p.yaml").text


@pytest.mark.parametrize(("more", "field"), NOT_DRAWN)
def test_what_is_ignored_makes_no_other_image(project, more, field):
    def keys(engine, rest):
        project.write("p.yaml", f"version: 1\nengine: {{{engine}}}\nprompt: a lamp\n{rest}")
        done = project.run("expand", "p.yaml", "--jsonl")
        assert done.code == 0, done.err
        return {json.loads(line)["key"] for line in done.out.splitlines()}

    assert keys(f"{SERVER}, ignore: [{field}]", f"{more}\n") == keys(SERVER, "")


def test_turbo_draws_at_2k_and_raw_does_not(project):
    large = "defaults: {resolution: 2K, aspect_ratio: '16:9'}\n"
    assert checked(project, SERVER, large) == (0, [])
    assert checked(project, SERVER.replace("Turbo", "Raw"), large)[0] == 2
    project.write("p.yaml", f"version: 1\nprompt: a lamp\n{large}")
    assert project.run("validate", "p.yaml").code == 2  # Krea's API has 1K alone


def test_an_engine_needs_a_seed(project):
    assert checked(project, SERVER, "matrix: {seed: {count: 2}}\n") == (0, [])
    assert checked(project, SERVER, "defaults: {seed: null}\n")[1][0][1:] == (4, 18)


def test_a_profile_can_go_back_to_krea(project):
    profiles = "profiles: {final: {engine: krea}}"
    project.write("p.yaml", f"version: 1\nengine: {{{SERVER}}}\nprompt: a lamp\n{profiles}\n")
    [hosted] = project.run("expand", "p.yaml", "--jsonl", "--profile", "final").out.splitlines()
    project.write("p.yaml", "version: 1\nprompt: a lamp\n")
    assert project.run("expand", "p.yaml", "--jsonl").out.splitlines() == [hosted]
