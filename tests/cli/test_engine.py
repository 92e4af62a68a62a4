"""`engine:`: the same pipelines, plans, locks and reports, drawn by servers of one's own that have the open weights."""

import json
import signal
from decimal import Decimal

import pytest
from command_line import Project, shared
from engine_server import engine_process, served_engine
from krea_server import until

TURBO = "model: krea/Krea-2-Turbo"


def lamp(url, words=("oak", "slate"), more="", engine="", dialect="vllm-omni"):
    urls = json.dumps(url if isinstance(url, list) else [url])
    return f"""version: 1
name: lamp
engine: {{kind: openai-images, dialect: {dialect}, url: {urls}, {TURBO}{engine}}}
prompt: a lamp on {{{{ w }}}}
matrix: {{w: {json.dumps(list(words))}}}
{more}"""


@pytest.fixture
def engine():
    with served_engine("vllm-omni") as engine:
        yield engine


class Keyless(Project):
    """A project whose environment has no key of Krea's."""

    def environment(self, env):
        return super().environment({"KREA_API_KEY": None, **env})


@pytest.fixture
def keyless(tmp_path, krea):
    project = Keyless(tmp_path, krea)
    yield project
    project.stop()


def rows(done):
    return {row["id"]: row for row in done.report["cells"]}


def test_a_pipeline_is_drawn_without_krea_and_without_a_cap_and_only_once(keyless, krea, engine):
    keyless.write("p.yaml", lamp(engine.url))
    planned = keyless.run("plan", "p.yaml")
    assert "vllm-omni 0.30, krea/Krea-2-Turbo (main), bfloat16, 8 steps, guidance 0" in planned.text
    assert engine.asked == []
    done = keyless.run("run", "p.yaml", "--json")
    assert (done.code, done.json["target"], done.json["cost"]["spent_usd"]) == (0, "engine", "0.00")
    assert {row["request"]["engine"]["name"] for row in done.report["cells"]} == {"vllm-omni"}
    assert sorted(one["prompt"] for one in engine.asked) == ["a lamp on oak", "a lamp on slate"]
    assert all((keyless.path / f"out/lamp/{word}.png").is_file() for word in ("oak", "slate"))
    assert len((keyless.path / "p.lock.jsonl").read_text().splitlines()) == 2
    again = keyless.run("run", "p.yaml", "--json")
    assert (again.code, len(engine.asked), krea.posts) == (0, 2, [])
    assert again.json["cells"]["reused"] == 2
    assert "1 million US dollars, with attribution" in keyless.run("doctor", "--offline").text


@pytest.mark.parametrize(
    "change",
    [", steps: 9", ", guidance: 1.5", ", revision: v2", ", dtype: float16", ', version: "0.31"'],
)
def test_what_decides_the_pixels_makes_other_images_and_where_the_server_is_does_not(keyless, engine, change):
    def keys(text):
        keyless.write("p.yaml", text)
        return [json.loads(one)["key"] for one in keyless.run("expand", "p.yaml", "--jsonl").out.splitlines()]

    own = keys(lamp(engine.url))
    assert keys(lamp(["http://10.0.0.1:1/v1", "https://gpu.example/v1"], engine=", parallel: 4, seconds: 9")) == own
    assert not {*keys(lamp(engine.url, engine=change))} & {*own}
    assert not {*keys(lamp(engine.url, dialect="sglang"))} & {*own}
    assert not {*keys(lamp(engine.url).replace("engine:", "x-engine:"))} & {*own}


def test_a_reason_says_what_of_the_engine_has_changed(keyless, engine):
    keyless.write("p.yaml", lamp(engine.url))
    assert keyless.run("run", "p.yaml").code == 0
    keyless.write("p.yaml", lamp(engine.url, engine=", steps: 12"))
    assert "engine steps 8 → 12" in keyless.run("plan", "p.yaml").text
    keyless.write("p.yaml", lamp(engine.url, dialect="sglang"))
    assert "engine vllm-omni → sglang" in keyless.run("plan", "p.yaml").text
    assert "engine  " in keyless.run("explain", "p.yaml", "oak").text


def test_a_killed_run_draws_again_only_what_was_not_stored(keyless):
    with engine_process("vllm-omni") as replica:
        keyless.write("p.yaml", lamp(replica.url, ("first", "[hold] last"), "", ", parallel: 1"))
        started = keyless.start("run", "p.yaml", "--json")
        until(lambda: (keyless.path / "out/lamp/first.png").is_file(), "the first image")
        started.send_signal(signal.SIGKILL)
        started.wait()
    with served_engine("vllm-omni", holds=False) as engine:
        keyless.write("p.yaml", lamp(engine.url, ("first", "[hold] last")))
        done = keyless.run("run", "p.yaml", "--json")
        assert (done.code, [one["prompt"] for one in engine.asked]) == (0, ["a lamp on [hold] last"])
        assert done.json["cells"]["reused"] == 1


def test_the_work_of_a_replica_that_dies_goes_to_another(keyless):
    with engine_process("vllm-omni") as dying, served_engine("vllm-omni", holds=False) as engine:
        words = [f"[hold] {number}" for number in range(4)]
        keyless.write("p.yaml", lamp([dying.url, engine.url], words))
        started = keyless.start("run", "p.yaml", "--json")
        dying.next_drawing()
        dying.kill()
        assert started.wait() == 0
        assert len(list((keyless.path / "out/lamp").glob("*.png"))) == 4


def test_an_engine_that_is_not_there_is_one_line_and_the_run_goes_on_later(keyless, engine):
    keyless.write("p.yaml", lamp("http://127.0.0.1:9/v1"))
    done = keyless.run("run", "p.yaml")
    assert (done.code, done.err.count("error:")) == (4, 1)
    assert "http://127.0.0.1:9/v1 cannot be reached" in done.err
    assert "To continue" in done.err
    keyless.write("p.yaml", lamp(engine.url))
    assert keyless.run("run", "p.yaml").code == 0


@pytest.mark.parametrize("fault", ["oom", "wrong-size", "jpeg", "black"])
def test_an_image_that_fails_is_one_failed_cell_and_the_others_are_drawn(keyless, engine, fault):
    engine.fault(fault, "slate", times=None)
    keyless.write("p.yaml", lamp(engine.url, ("oak", "slate", "wool")))
    done = keyless.run("run", "p.yaml", "--json")
    assert (done.code, done.json["cells"]["succeeded"], done.json["cells"]["failed"]) == (1, 2, 1)
    assert rows(done)["lamp/slate"]["error"]["message"]
    engine.faults.clear()
    assert keyless.run("run", "p.yaml").code == 0


def test_a_prompt_that_the_engine_cuts_is_a_warning(keyless, engine):
    keyless.write("p.yaml", lamp(engine.url, ("oak " * 600,)))
    done = keyless.run("run", "p.yaml")
    assert (done.code, done.err.count("603 tokens or more, and engines read 507")) == (0, 1)


def test_a_profile_draws_drafts_at_home_and_the_file_draws_finals_at_krea(project, krea, engine):
    draft = f"{{kind: openai-images, dialect: vllm-omni, url: {json.dumps(engine.url)}, {TURBO}}}"
    project.pipeline(["a"], more=f"budget: {{usd: 1}}\nprofiles: {{draft: {{engine: {draft}}}}}")
    assert project.run("run", "p.yaml", "--profile", "draft").code == 0
    assert (len(engine.asked), len(krea.posts)) == (1, 0)
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, len(engine.asked), len(krea.posts)) == (0, 1, 1)
    assert "engine" not in rows(done)["p/a"]["request"]


def test_a_price_of_ones_own_is_planned_and_capped_like_any_other(keyless, engine):
    keyless.write("p.yaml", lamp(engine.url, engine=", usd_per_image: 0.25"))
    assert keyless.run("run", "p.yaml").code == 2
    done = keyless.run("run", "p.yaml", "--max-cost", "0.3", "--json")
    assert (len(engine.asked), Decimal(done.json["cost"]["spent_usd"])) == (1, Decimal("0.25"))


def test_proofs_of_a_pipeline_with_an_engine_are_drawn_by_the_local_krea(keyless, engine):
    keyless.write("p.yaml", lamp(engine.url))
    assert keyless.run("run", "p.yaml", "--local").code == 0
    assert engine.asked == []
    assert (keyless.path / "proofs/lamp/oak.png").is_file()


def test_a_key_is_sent_to_the_server_alone_and_its_absence_is_said(keyless):
    with served_engine("vllm-omni", key="letmein-1") as engine:
        keyless.write("p.yaml", lamp(engine.url, engine=", key_env: GPU_KEY"))
        refused = keyless.run("run", "p.yaml")
        assert (refused.code, engine.asked) == (2, [])
        assert "GPU_KEY" in refused.err
        done = keyless.run("run", "p.yaml", env={"GPU_KEY": "letmein-1"})
        assert (done.code, engine.headers[-1]["authorization"]) == (0, "Bearer letmein-1")


def test_several_pipelines_are_drawn_each_by_its_own_engine(project, krea, engine):
    project.pipeline(["a"], more="budget: {usd: 1}")
    project.write("lamp.yaml", lamp(engine.url))
    done = project.run("run", "p.yaml", "lamp.yaml", "--json")
    assert (done.code, len(engine.asked), len(krea.posts)) == (0, 2, 1)
    assert done.json["cost"]["spent_usd"] == "0.03"


def test_a_style_is_a_file_and_another_file_of_that_name_makes_another_image(keyless, engine, lora):
    house, path = "{file: house.safetensors, path: /models/house}", "/models/house"
    keyless.write("p.yaml", lamp(engine.url, ("oak",), "styles: [house]\n", f", loras: {{house: {house}}}"))
    lora("house.safetensors", 1)
    engine.files[path] = "one"
    assert keyless.run("run", "p.yaml").code == 0
    assert (engine.asked[0]["lora"]["path"], engine.asked[0]["lora"]["scale"]) == (path, 1.0)
    assert keyless.run("run", "p.yaml", "--json").json["cells"]["reused"] == 1
    lora("house.safetensors", 2)
    engine.files[path] = "two"
    assert keyless.run("run", "p.yaml", "--json").json["cells"]["succeeded"] == 1
    assert len({one["lora"]["int_id"] for one in engine.asked}) == 2


@pytest.fixture
def lora(keyless):
    """Writes a LoRA of Krea 2 with one layer of some value."""

    def write(name, value):
        data = bytes([value]) * 16
        tensors = {
            f"transformer.blocks.0.attn.to_q.lora_{side}.weight": {
                "dtype": "F32",
                "shape": [1, 2] if side == "A" else [2, 1],
                "data_offsets": [start, start + 8],
            }
            for side, start in (("A", 0), ("B", 8))
        }
        header = json.dumps(tensors).encode()
        (keyless.path / name).write_bytes(len(header).to_bytes(8, "little") + header + data)

    return write


def test_what_a_killed_run_has_claimed_in_a_shared_store_is_drawn_by_another_home(keyless, tmp_path, krea, store):
    elsewhere = Keyless(tmp_path / "elsewhere", krea)
    with engine_process("vllm-omni") as replica:
        keyless.write("p.yaml", lamp(replica.url, ("oak", "[hold] last"), engine=", parallel: 2"))
        started = keyless.start("run", "p.yaml", "--json", env=shared(store))
        until(lambda: (keyless.path / "out/lamp/oak.png").is_file(), "the first image")
        started.send_signal(signal.SIGKILL)
        started.wait()
    with served_engine("vllm-omni", holds=False) as engine:
        elsewhere.write("p.yaml", lamp(engine.url, ("oak", "[hold] last")))
        done = elsewhere.run("run", "p.yaml", "--json", env=shared(store))
        assert (done.code, [one["prompt"] for one in engine.asked][-1:]) == (0, ["a lamp on [hold] last"])


@pytest.mark.parametrize(("is_one", "is_said"), [("sglang", "vllm-omni"), ("vllm-omni", "sglang")])
def test_a_server_of_another_dialect_is_refused_before_anything_is_drawn(keyless, is_one, is_said):
    with served_engine(is_one) as engine:
        keyless.write("p.yaml", lamp(engine.url, dialect=is_said))
        done = keyless.run("run", "p.yaml")
        assert (done.code, engine.asked) == (4, [])
        assert f"write `dialect: {is_one}`" in done.err


def test_ctrl_c_collects_the_image_that_is_being_drawn_and_cancels_the_others(keyless, engine):
    engine.fault("hold", "first")
    keyless.write("p.yaml", lamp(engine.url, ("first", "second", "third")))
    started = keyless.start("run", "p.yaml", "--json")
    until(lambda: engine.drawing == 1, "the first image")
    started.send_signal(signal.SIGINT)
    engine.is_released = True
    done = keyless.finish(started)
    assert done.json["cells"]["succeeded"] == 1
    assert [one["prompt"] for one in engine.asked] == ["a lamp on first"]


def test_a_profile_with_an_engine_of_its_own_takes_nothing_from_that_of_the_file(keyless, engine):
    own = f"{{kind: openai-images, dialect: vllm-omni, url: {json.dumps(engine.url)}, {TURBO}}}"
    far = "https://gpu.example/v1"
    more = f"profiles: {{own: {{engine: {own}}}}}"
    keyless.write("p.yaml", lamp(far, more=more, engine=", key_env: FARM_KEY, guidance: 3, usd_per_image: 0.5"))
    done = keyless.run("run", "p.yaml", "--profile", "own", env={"FARM_KEY": "farm-secret"})
    assert (done.code, {one["guidance_scale"] for one in engine.asked}) == (0, {0})
    assert all("authorization" not in one for one in engine.headers)


def test_an_engine_can_be_defined_in_a_file_that_several_pipelines_use(keyless, krea, engine):
    own = f"{{kind: openai-images, dialect: vllm-omni, url: {json.dumps(engine.url)}, {TURBO}}}"
    keyless.write("brand.yaml", f"version: 1\nengine: {own}\n")
    keyless.write("p.yaml", "version: 1\nuse: [brand.yaml]\nprompt: a lamp\n")
    assert keyless.run("run", "p.yaml").code == 0
    assert (len(engine.asked), krea.posts) == (1, [])


def test_proofs_of_an_engine_at_2k_have_the_size_of_its_images(keyless, engine):
    keyless.write("p.yaml", lamp(engine.url, ("oak",), "defaults: {resolution: 2K}\n"))
    assert keyless.run("run", "p.yaml", "--local").code == 0
    assert keyless.run("run", "p.yaml").code == 0
    assert engine.asked[0]["size"] == "2048x2048"


def test_the_stored_images_of_engines_are_verified_and_copied_to_a_shared_store(keyless, tmp_path, krea, engine, store):
    keyless.write("p.yaml", lamp(engine.url))
    assert keyless.run("run", "p.yaml").code == 0
    assert "2 images" in keyless.run("cache", "push", "p.yaml", env=shared(store)).out
    elsewhere = Keyless(tmp_path / "elsewhere", krea)
    elsewhere.write("p.yaml", lamp(engine.url))
    assert elsewhere.run("cache", "pull", "p.yaml", env=shared(store)).code == 0
    assert elsewhere.run("run", "p.yaml").code == 0
    assert len(engine.asked) == 2
    [blob, _] = [path for path in (keyless.home / "engine/blobs").rglob("*") if path.is_file()]
    blob.chmod(0o600)
    blob.write_bytes(b"xx")
    assert keyless.run("cache", "verify").code == 1


def test_gc_leaves_an_engine_run_in_progress_alone(keyless):
    with engine_process("vllm-omni") as replica:
        keyless.write("p.yaml", lamp(replica.url, ("[hold] x",)))
        started = keyless.start("run", "p.yaml")
        replica.next_drawing()
        refused = keyless.run("gc", "--keep", "0d", "--delete")
        started.kill()
        assert "in progress" in refused.text


def test_an_engine_that_is_lost_does_not_stop_the_pipelines_of_others(project, krea, engine):
    project.pipeline(["a"], more="budget: {usd: 1}")
    project.write("dead.yaml", lamp("http://127.0.0.1:9/v1").replace("name: lamp", "name: dead"))
    project.write("lamp.yaml", lamp(engine.url))
    done = project.run("run", "dead.yaml", "p.yaml", "lamp.yaml", "--json")
    assert (done.code, len(engine.asked), len(krea.posts)) == (4, 2, 1)


def test_a_look_can_name_a_style_of_the_engine(keyless, engine, lora):
    lora("house.safetensors", 1)
    house = "{file: house.safetensors, path: /models/house}"
    look = "looks: {h: {styles: [house]}}\nlook: h\n"
    keyless.write("p.yaml", lamp(engine.url, ("oak",), look, f", loras: {{house: {house}}}"))
    assert keyless.run("validate", "p.yaml").code == 0
