"""OpenAI's files and uploads, as they go over the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Purpose = Literal["fine-tune", "batch", "assistants", "user_data"]
"""What a client may upload a file for."""
MadePurpose = Literal["batch_output", "fine-tune-results"]
"""What the stack makes files for."""
FileId = Annotated[str, Meta(min_length=1, max_length=128, description="A file's id")]
FileName = Annotated[str, Meta(min_length=1, max_length=512)]


class ExpiresAfter(Struct, frozen=True, forbid_unknown_fields=True):
    """When a file goes by itself; `seconds` after it was made, one hour to 30 days."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3600, le=2_592_000)]


class FileForm(Struct, frozen=True):
    """POST /v1/files as a form; `expires_after[anchor]` and `expires_after[seconds]` may come along."""

    file: Annotated[str, Meta(extra_json_schema={"format": "binary"})]
    purpose: Purpose


class FileObject(Struct, frozen=True):
    """`created_at` and `expires_at` are Unix seconds; `sha256` is of the content, in hex."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: Purpose | MadePurpose
    sha256: str
    expires_at: int | None = None
    object: Literal["file"] = "file"
    status: Literal["processed"] = "processed"
    status_details: None = None


class FileList(Struct, frozen=True):
    data: list[FileObject]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None
    object: Literal["list"] = "list"


class FileDeleted(Struct, frozen=True):
    id: str
    deleted: bool = True
    object: Literal["file"] = "file"


class UploadRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/uploads: a file that will come in parts. `mime_type` is kept with nothing done by it."""

    bytes: Annotated[int, Meta(ge=1)]
    filename: FileName
    mime_type: Annotated[str, Meta(min_length=1, max_length=255)]
    purpose: Purpose
    expires_after: ExpiresAfter | None = None


class CompleteRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/uploads/{upload}/complete. `md5` is the whole content's, in hex."""

    part_ids: Annotated[list[Annotated[str, Meta(max_length=128)]], Meta(min_length=1, max_length=10_000)]
    md5: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{32}$")] | None = None


class PartForm(Struct, frozen=True):
    """POST /v1/uploads/{upload}/parts as a form; at most 64 MiB."""

    data: Annotated[str, Meta(extra_json_schema={"format": "binary"})]


class Upload(Struct, frozen=True):
    id: str
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: FileObject | None = None
    object: Literal["upload"] = "upload"


class UploadPart(Struct, frozen=True):
    id: str
    created_at: int
    upload_id: str
    object: Literal["upload.part"] = "upload.part"
