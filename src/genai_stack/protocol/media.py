"""Pictures and speech in OpenAI's shapes, and music in vLLM-Omni's, as far as vLLM and vLLM-Omni honour them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from .requests import ModelName

Prompt = Annotated[str, Meta(min_length=1, max_length=32_000)]
Size = Annotated[str, Meta(pattern=r"^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$")]
Count = Annotated[int, Meta(ge=1, le=10)]
Steps = Annotated[int, Meta(ge=1, le=200)]
Scale = Annotated[float, Meta(ge=0, le=100)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Temperature = Annotated[float, Meta(ge=0, le=1)]
BINARY: dict[str, Any] = {"format": "binary"}
Binary = Annotated[str, Meta(extra_json_schema=BINARY)]


class ImageRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """POST /v1/images/generations. Pictures come in the answer (`b64_json`); the last four are vLLM-Omni's own."""

    prompt: Prompt
    model: ModelName | None = None
    n: Count | None = None
    size: Size | None = None
    response_format: Literal["b64_json"] | None = None
    user: str | None = None
    negative_prompt: Prompt | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: Scale | None = None
    seed: Seed | None = None


class EditForm(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/images/edits as a form: up to 16 pictures as `image` or `image[]`, and perhaps a `mask`."""

    prompt: Prompt
    image: Binary = ""
    images: Binary = field(default="", name="image[]")
    mask: Binary = ""
    model: ModelName | None = None
    n: Count | None = None
    size: Size | None = None
    response_format: Literal["b64_json"] | None = None
    user: str | None = None
    negative_prompt: Prompt | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: Scale | None = None
    seed: Seed | None = None


class Picture(Struct, frozen=True):
    """The file in base64."""

    b64_json: str
    revised_prompt: str | None = None


class Pictures(Struct, frozen=True):
    created: int
    data: list[Picture]


class SpeechRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """POST /v1/audio/speech. `language` is vLLM-Omni's own."""

    input: Annotated[str, Meta(min_length=1, max_length=16_384)]
    voice: Annotated[str, Meta(min_length=1, max_length=256)]
    model: ModelName | None = None
    instructions: Annotated[str, Meta(max_length=4096)] | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] | None = None
    stream_format: Literal["audio"] | None = None
    language: Annotated[str, Meta(max_length=64)] | None = None


class MusicRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """POST /v1/audio/generations: music or a sound by its description, in the shape of vLLM-Omni's
    `/v1/audio/generate`. `audio_length` is in seconds; how much there may be is the model's."""

    input: Annotated[str, Meta(min_length=1, max_length=16_384)]
    model: ModelName | None = None
    response_format: Literal["wav", "pcm", "flac", "mp3", "opus"] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] | None = None
    stream_format: Literal["audio"] | None = None
    audio_length: Annotated[float, Meta(gt=0, le=600)] | None = None
    audio_start: Annotated[float, Meta(ge=0, le=600)] | None = None
    negative_prompt: Prompt | None = None
    guidance_scale: Scale | None = None
    num_inference_steps: Steps | None = None
    seed: Seed | None = None


class TranslationForm(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/audio/translations as a form: speech of any language to English text."""

    file: Binary = ""
    model: ModelName | None = None
    prompt: Annotated[str, Meta(max_length=32_000)] | None = None
    response_format: Literal["json", "text", "verbose_json"] | None = None
    temperature: Temperature | None = None


class TranscriptionForm(TranslationForm, frozen=True, forbid_unknown_fields=True):
    """POST /v1/audio/transcriptions as a form."""

    language: Annotated[str, Meta(min_length=2, max_length=16)] | None = None
    timestamp_granularities: Literal["segment", "word"] | None = field(
        default=None, name="timestamp_granularities[]"
    )


class Transcript(Struct, frozen=True):
    """With `response_format` json; verbose_json has `language`, `duration` and `segments` as well, text the text."""

    text: str
