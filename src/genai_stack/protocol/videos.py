"""Films, in OpenAI's shapes, as far as vLLM-Omni honours them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from .media import Binary, Prompt, Scale, Seed, Steps
from .requests import ModelName

Status = Literal["queued", "in_progress", "completed", "failed"]
Seconds = Annotated[str, Meta(pattern="^[1-9][0-9]?$")]
FilmSize = Annotated[str, Meta(pattern="^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$")]
FileId = Annotated[str, Meta(min_length=1, max_length=128)]


class Reference(Struct, frozen=True, forbid_unknown_fields=True):
    """What a film goes by: a file uploaded before, or a `data:` URL; nothing is fetched."""

    file_id: FileId | None = None
    image_url: Annotated[str, Meta(min_length=1)] | None = None


class VideoRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """POST /v1/videos as JSON; the last four are vLLM-Omni's own."""

    prompt: Prompt
    model: ModelName | None = None
    seconds: Seconds = "4"
    size: FilmSize = "720x1280"
    input_reference: Reference | None = None
    user: str | None = None
    negative_prompt: Prompt | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: Scale | None = None
    seed: Seed | None = None


class VideoForm(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/videos as a form, which is what the `openai` client sends; JSON is taken, too (VideoRequest).
    `input_reference` is a picture (PNG, JPEG, WebP) or a film (MP4)."""

    prompt: Prompt
    model: ModelName | None = None
    seconds: Seconds = "4"
    size: FilmSize = "720x1280"
    input_reference: Binary = ""
    reference_file: FileId | None = field(default=None, name="input_reference[file_id]")
    reference_url: str | None = field(default=None, name="input_reference[image_url]")
    user: str | None = None
    negative_prompt: Prompt | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: Scale | None = None
    seed: Seed | None = None


class RemixRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/videos/{id}/remix: a film after another, which the model is given as its reference."""

    prompt: Prompt


class VideoError(Struct, frozen=True):
    code: str
    message: str


class Video(Struct, frozen=True):
    """Times are Unix seconds. `progress` is 100 for a film that is there, and 0 before: no model tells more."""

    id: str
    created_at: int
    model: str
    status: Status
    progress: int
    prompt: str
    seconds: str
    size: str
    completed_at: int | None = None
    expires_at: int | None = None
    error: VideoError | None = None
    remixed_from_video_id: str | None = None
    object: Literal["video"] = "video"


class VideoList(Struct, frozen=True):
    data: list[Video]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None
    object: Literal["list"] = "list"


class VideoDeleted(Struct, frozen=True):
    id: str
    deleted: bool = True
    object: Literal["video.deleted"] = "video.deleted"
