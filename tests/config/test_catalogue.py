"""The catalogue: which entries this machine serves, which an account hosts, what is refused and with which way out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_stack import choices, fit
from genai_stack.catalogue import LOCAL_TASKS, ModelConfig
from genai_stack.config import StackConfig, load_config, parse_config
from genai_stack.containers import AMIS, CONTAINERS, NEWEST_AMI, cuda_of, runs
from genai_stack.errors import ConfigError
from genai_stack.machines import GPU_MEMORY, MACHINES, family, hosts

ROOT = Path(__file__).parents[2]
QWEN = "name = 'q'\nsource = 'hf://Qwen/Qwen3-4B'\n"
HOSTED = f"[[model]]\n{QWEN}instance = 'g6e.xlarge'\n"


def uncommented() -> str:
    """stack.toml with its hosted models in force: their lines start with a # and no space."""
    return re.sub(r"^#(?=\S)", "", (ROOT / "stack.toml").read_text(), flags=re.MULTILINE)


def hosted(lines: str) -> ModelConfig:
    (model,) = parse_config(f"[[model]]\n{lines}").models
    return model


def test_the_catalogue_s_hosted_models_can_be_uncommented() -> None:
    config = parse_config(uncommented(), region="us-east-1")
    assert config.local_models == StackConfig().models
    assert config.default_model == "builtin"
    tasks = [m.task for m in config.hosted_models]
    assert set(tasks) == set(CONTAINERS)
    assert [m.name for m in config.serverless_models] == ["minilm-anatomy"]
    assert tasks.count("chat") == 2
    by_name = {m.name: m for m in config.hosted_models}
    small, large = by_name["qwen3-4b"], by_name["gpt-oss-120b"]
    assert family(small.instances[0]) == "g6e"
    assert small.adapters
    assert family(large.instances[0]) == "p5"
    assert large.size.billions == 120
    assert all(
        m.min == 0 for m in config.hosted_models
    )  # nobody pays for what is only uncommented and not asked
    assert [m.name for m in config.hosted_models if choices.asynchronous(m)] == ["wan2.1"]


def test_an_entry_with_an_instance_is_not_this_machine_s() -> None:
    config = parse_config(HOSTED)
    assert [m.name for m in config.hosted_models] == ["q"]
    assert config.local_models == ()
    assert config.default_model is None
    with pytest.raises(
        ConfigError, match=r"q is hosted in an account .on g6e.xlarge., and this machine doesn't serve"
    ):
        config.serving("q")
    assert config.serving("hf://org/other").default_model == "other"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (
            f"[[model]]\n{QWEN}context = 9\n",
            4,
            "model[0].context: only a hosted model has it; give it an instance",
        ),
        (f"[[model]]\n{QWEN}\nmax = 3\n", 5, "model[0].max: only a hosted model has it"),
        (f"[[model]]\n{QWEN}environment = {{ A = 'b' }}\n", 4, "model[0].environment: only a hosted model"),
        (
            f"[[model]]\n{QWEN}task = 'image'\n",
            4,
            "this machine serves chat and embedding models; host this one",
        ),
        (f"[[model]]\n{QWEN}task = 'poem'\n", 4, "Invalid enum value 'poem'"),
        (
            f"[[model]]\n{QWEN}instance = 'ml.g6e.xlarg'\n",
            4,
            "no GPU instance 'ml.g6e.xlarg'; did you mean 'g6e.xlarge'",
        ),
        (
            f"[[model]]\n{QWEN}instance = 'gr6.4xlarge'\n",
            4,
            "no GPU instance 'gr6.4xlarge'; did you mean 'g6.4xlarge'",
        ),
        (f"[[model]]\n{QWEN}instance = ['g6e.xlarge', 'g6e.xlarge']\n", 4, "g6e.xlarge is named twice"),
        (
            f"[[model]]\n{QWEN}instance = [{', '.join(repr(f'g6e.{n}xlarge') for n in (2, 4, 8, 12, 16, 24))}]\n",
            4,
            "at most 5 instance pools",
        ),
        (
            "[[model]]\nname='b'\nsource='builtin'\ninstance='g6e.xlarge'\n",
            3,
            "an account can't read 'builtin'",
        ),
        (
            "[[model]]\nname='b'\nsource='models/x'\ninstance='g6e.xlarge'\n",
            3,
            "hf://org/name[@revision] or s3://",
        ),
        ("[[model]]\nname='b'\nsource='hf://x'\ninstance='g6e.xlarge'\n", 3, "can't read 'hf://x'"),
        (f"{HOSTED}[training.network]\negress = 'endpoints'\n", 3, "the network reaches no hub"),
        (f"{HOSTED}ami = 'al2023'\n", 5, f"no such machine image; it has {', '.join(AMIS)}"),
        (
            f"{HOSTED}ami = 'al2-ami-sagemaker-inference-gpu-3-1'\n",
            5,
            f'al2-ami-sagemaker-inference-gpu-3-1 runs 12.x; set ami = "{NEWEST_AMI}"',
        ),
        (
            f"{HOSTED}image = '1.dkr.ecr.eu-west-1.amazonaws.com/v:1-cu140'\n",
            5,
            "brings CUDA 14.0, which no machine image runs; the newest runs 13.x",
        ),
        (f"{HOSTED}image = 'docker.io/vllm:1'\n", 5, "SageMaker pulls from ECR alone"),
        (f"{HOSTED}\nenvironment = {{ A = '{'b' * 4000}' }}\n", 6, "bytes too many: SSM holds 4096 of a model"),
        (f"{HOSTED}min = 3\nmax = 2\n", 5, "at most max, which is 2; set max = 3, or min = 2"),
        (f"{HOSTED}task = 'rerank'\nadapters = 2\n", 6, "a rerank model takes no adapters"),
        (f"{HOSTED}gpus = 2\n", 5, "spread over 1 of these machines' GPUs"),
        (f"[[model]]\n{QWEN}instance = 'g6e.12xlarge'\ngpus = 3\n", 5, "spread over 1 or 2 or 4 of these"),
        (
            "[[model]]\nname='f'\nsource='hf://o/flux-4B'\ninstance='g6e.xlarge'\ntask='image'\n",
            1,
            "model[0].parameters: say the billions of all parts together",
        ),
        (
            "[[model]]\nname='f'\nsource='hf://o/mystery'\ninstance='g6e.xlarge'\n",
            1,
            "hf://o/mystery doesn't tell its parameters; set parameters = 4.0",
        ),
        (f"{HOSTED}context = 500000\n", 5, "500000 tokens need 86.2 GiB on 1 GPU of g6e.xlarge"),
        (
            "[[model]]\nname='f'\nsource='hf://o/Llama-70B'\ninstance='g6e.xlarge'\n",
            4,
            'where a model may take 40.2; take instance = "',
        ),
        (
            "[[model]]\nname='f'\nsource='hf://o/Huge-4000B'\ninstance='p5en.48xlarge'\n",
            4,
            "take fewer bytes_per_parameter",
        ),
    ],
)
def test_a_misfit_is_refused_where_it_stands(text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "here/stack.toml")
    assert says in str(caught.value)
    assert caught.value.message.startswith(f"here/stack.toml:{line}: model[0]")


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("context", f"{HOSTED}context = 500000\n"),
        ("instance", "[[model]]\nname='f'\nsource='hf://o/Llama-70B'\ninstance='g6e.xlarge'\n"),
        ("ami", f"{HOSTED}ami = 'al2-ami-sagemaker-inference-gpu-2'\n"),
        ("min", f"{HOSTED}min = 3\nmax = 2\n"),
        ("instance", f"[[model]]\n{QWEN}instance = 'g6e.xlarg'\n"),
    ],
)
def test_the_value_a_refusal_offers_works(setting: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    said = str(caught.value)
    offered = re.search(rf"{setting} = (\"[^\"]+\"|\d+)", said) or re.search(r"did you mean ('[^']+')", said)
    assert offered
    parse_config(re.sub(rf"^{setting} *= *.*$", f"{setting} = {offered[1]}", text, flags=re.MULTILINE))


def test_a_region_without_aws_s_containers_is_refused() -> None:
    assert parse_config(HOSTED, region="eu-west-1")
    with pytest.raises(
        ConfigError, match=r"stack.toml:4: .*no containers for region 'eu-east-9'; deploy to another"
    ):
        parse_config(HOSTED, region="eu-east-9")
    own = f"{HOSTED}image = '123456789012.dkr.ecr.eu-east-9.amazonaws.com/vllm:1'\n"
    assert parse_config(own, region="eu-east-9")
    assert parse_config("", region="eu-east-9")


@pytest.mark.parametrize(
    ("source", "billions", "each"),
    [
        ("hf://Qwen/Qwen3-4B-Instruct-2507", 4.0, 2.0),
        ("hf://Qwen/Qwen3.5-35B-A3B-FP8@main", 35.0, 1.0),
        ("hf://openai/gpt-oss-120b", 120.0, 2.0),
        ("hf://org/Llama-3.3-70B-Instruct-AWQ", 70.0, 0.5625),
        ("hf://HuggingFaceTB/SmolLM2-135M", 0.135, 2.0),
        ("s3://bucket/models/mistral-7b/", 7.0, 2.0),
        ("hf://BAAI/bge-reranker-v2-m3", None, 2.0),
        ("hf://org/4Bit-thing", None, 0.5625),
    ],
)
def test_a_name_tells_parameters_and_their_bytes(source: str, billions: float | None, each: float) -> None:
    assert fit.billions_in(source) == billions
    assert fit.bytes_in(source) == each


def test_the_fewest_gpus_that_hold_a_copy_are_taken() -> None:
    def gpus(source: str, instance: str, more: str = "") -> int:
        return hosted(f"name='a'\nsource='hf://o/{source}'\ninstance={instance!r}\n{more}").tensor_parallel

    assert gpus("a-4B", "g6e.12xlarge") == 1
    assert gpus("a-32B", "g6e.12xlarge") == 2
    assert gpus("a-70B", "g6e.12xlarge") == 4
    assert gpus("a-70B-FP8", "g6e.12xlarge") == 2
    assert gpus("a-70B", "p5en.48xlarge") == 2
    assert gpus("a-4B", "g6e.12xlarge", "gpus = 4\n") == 4
    pools = hosted("name='a'\nsource='hf://o/a-14B'\ninstance=['g6e.12xlarge', 'g6.12xlarge']\n")
    assert pools.tensor_parallel == 2  # what the smaller GPUs need
    assert choices.copies_per_machine(pools) == 2
    assert choices.least_machines(pools) == 0
    assert choices.machines(pools) == 1  # a second copy, for an update, has room beside the first
    assert choices.share(pools) == (19, int(192 * 1024 / 2 * 0.8), 2)


@settings(max_examples=50)
@given(
    st.floats(0.1, 700),
    st.sampled_from([0.5625, 1.0, 2.0]),
    st.integers(0, 200_000),
    st.integers(0, 16),
    st.sampled_from(sorted(name for name in MACHINES if hosts(name))),
)
def test_what_fits_fits_with_less(
    billions: float, each: float, context: int, adapters: int, instance: str
) -> None:
    size = fit.Size(billions, each, fit.keys_and_values(billions))
    gpus = fit.gpus_for(size, context, adapters, instance)
    if gpus is None:
        other = fit.machine_for(size, context, adapters, [name for name in MACHINES if hosts(name)])
        assert other is None or fit.gpus_for(size, context, adapters, other)
        return
    assert fit.needed(size, context, adapters, gpus) <= fit.usable(instance, gpus)
    assert (fit.gpus_for(size, context // 2, adapters, instance) or 99) <= gpus
    longest = fit.longest(size, adapters, instance, gpus)
    assert longest % 1024 == 0
    if longest > 0:
        assert fit.needed(size, longest, adapters, gpus) <= fit.usable(instance, gpus)
        assert fit.needed(size, longest + 1024, adapters, gpus) > fit.usable(instance, gpus)


def test_the_container_s_environment() -> None:
    model = hosted(
        "name='my-chat'\nsource='hf://Qwen/Qwen3-4B@abc'\ninstance='g6e.xlarge'\nadapters=3\n"
        "[model.environment]\nSM_VLLM_MAX_LORA_RANK='128'\nSM_VLLM_SEED='7'\n"
    )
    assert choices.environment(model) == {
        "SM_VLLM_SERVED_MODEL_NAME": "my-chat",
        "SM_VLLM_TENSOR_PARALLEL_SIZE": "1",
        "SM_VLLM_MODEL": "Qwen/Qwen3-4B",
        "SM_VLLM_REVISION": "abc",
        "SM_VLLM_MAX_MODEL_LEN": "8192",
        "SM_VLLM_ENABLE_LORA": "true",
        "SM_VLLM_MAX_LORAS": "3",
        "SM_VLLM_MAX_CPU_LORAS": "3",
        "SM_VLLM_MAX_LORA_RANK": "128",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "SM_VLLM_SEED": "7",
    }
    stored = hosted("name='e'\nsource='s3://b/e-1B'\ninstance='g6.xlarge'\ntask='embedding'\n")
    assert choices.environment(stored) == {
        "SM_VLLM_SERVED_MODEL_NAME": "e",
        "SM_VLLM_TENSOR_PARALLEL_SIZE": "1",
        "SM_VLLM_RUNNER": "pooling",
    }


def test_a_large_model_gets_longer_to_start_and_no_longer_than_sagemaker_waits() -> None:
    def seconds(billions: int) -> int:
        return choices.startup_seconds(
            hosted(f"name='a'\nsource='hf://o/a-{billions}B'\ninstance='p6-b200.48xlarge'\n")
        )

    assert seconds(4) == 980
    assert seconds(70) == 2300
    assert seconds(400) == 3600


def test_every_machine_s_gpus_and_every_task_s_choices_are_known() -> None:
    assert {family(name) for name in MACHINES} == set(GPU_MEMORY)
    assert set(choices.REQUESTS) == set(CONTAINERS)
    assert set(LOCAL_TASKS) < set(CONTAINERS)
    for container in CONTAINERS.values():
        assert runs(NEWEST_AMI, container.cuda)
    assert cuda_of("1.dkr.ecr.eu-west-1.amazonaws.com/vllm:0.15-gpu-py312-cu129-ubuntu22.04") == (12, 9)
    assert cuda_of("1.dkr.ecr.eu-west-1.amazonaws.com/mine:latest") is None


def test_sagemaker_knows_the_machines_and_the_machine_images() -> None:
    """botocore's service model is the oracle."""
    import botocore.session

    service = botocore.session.get_session().get_service_model("sagemaker")
    known = {name.removeprefix("ml.") for name in service.shape_for("ProductionVariantInstanceType").enum}
    assert {name for name in MACHINES if hosts(name)} == set(MACHINES) & known
    images = service.shape_for("ProductionVariantInferenceAmiVersion").enum
    assert set(AMIS) == {name for name in images if "-gpu-" in name}


def test_the_repository_s_stack_toml_hosts_nothing_as_it_is() -> None:
    assert load_config(ROOT / "stack.toml").hosted_models == ()


ANATOMY = "name='a'\nsource='builtin'\ntask='anatomy'\n"


def test_a_model_that_is_taken_apart_is_an_account_s() -> None:
    config = parse_config(f"[[model]]\n{ANATOMY}memory=2048\nmax=5\n")
    (model,) = config.serverless_models
    assert (model.hosted, model.serverless_memory, model.max) == (True, 2048, 5)
    assert hosted(ANATOMY).serverless_memory == 3072
    assert config.hosted_models == config.local_models == ()
    with pytest.raises(ConfigError, match="on serverless processors"):
        config.serving("a")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (ANATOMY.replace("builtin", "hf://o/n"), "would have to be fetched first"),
        (ANATOMY + "instance='g6.xlarge'", "no machine of its own"),
        (ANATOMY + "memory=1000", "SageMaker has 1024, 2048"),
        (ANATOMY + "min=1", "model[0].min: a model taken apart has source, max and memory"),
        (ANATOMY + "context=99", "model[0].context: a model taken apart"),
        (ANATOMY + "environment={a='b'}", "model[0].environment"),
        ("name='a'\nsource='hf://o/a-4B'\ninstance='g6e.xlarge'\nmemory=2048", 'task = "anatomy" only'),
        ("name='a'\nsource='builtin'\nmemory=2048", "only a hosted model has it"),
    ],
    ids=str,
)
def test_what_is_refused_of_one(lines: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(f"[[model]]\n{lines}\n")
    assert says in str(error.value)
