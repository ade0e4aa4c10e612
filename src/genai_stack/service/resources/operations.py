"""What /openapi.json says about these routes."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from ...protocol import batches, conversations, files, items, responses, stores, tuning, videos

CURSOR = ("after", "limit")


class Operation(NamedTuple):
    """`reply` is a type or a union; None means the content of a file. `form` says that
    the request is multipart/form-data, `event` what an answer that is streamed is made of."""

    method: Literal["get", "post", "delete"]
    path: str
    id: str
    summary: str
    reply: Any
    request: type[Any] | None = None
    form: bool = False
    query: tuple[str, ...] = ()
    event: type[Any] | None = None


FILES = (
    Operation(
        "get", "/v1/files", "listFiles", "List files", files.FileList, query=(*CURSOR, "order", "purpose")
    ),
    Operation("post", "/v1/files", "createFile", "Upload a file", files.FileObject, files.FileForm, form=True),
    Operation("get", "/v1/files/{id}", "showFile", "Show a file", files.FileObject),
    Operation("delete", "/v1/files/{id}", "deleteFile", "Delete a file", files.FileDeleted),
    Operation("get", "/v1/files/{id}/content", "readFile", "A file's content, or a range of it", None),
    Operation(
        "post", "/v1/uploads", "createUpload", "Announce a file in parts", files.Upload, files.UploadRequest
    ),
    Operation(
        "post",
        "/v1/uploads/{id}/parts",
        "addPart",
        "Upload a part",
        files.UploadPart,
        files.PartForm,
        form=True,
    ),
    Operation(
        "post",
        "/v1/uploads/{id}/complete",
        "completeUpload",
        "Make the file of its parts",
        files.Upload,
        files.CompleteRequest,
    ),
    Operation("post", "/v1/uploads/{id}/cancel", "cancelUpload", "Give an upload up", files.Upload),
)
BATCHES = (
    Operation("get", "/v1/batches", "listBatches", "List batches", batches.BatchList, query=CURSOR),
    Operation(
        "post", "/v1/batches", "createBatch", "Run a file of requests", batches.Batch, batches.BatchRequest
    ),
    Operation("get", "/v1/batches/{id}", "showBatch", "Show a batch", batches.Batch),
    Operation("post", "/v1/batches/{id}/cancel", "cancelBatch", "Stop a batch", batches.Batch),
)
_JOBS = "/v1/fine_tuning/jobs"
TUNING = (
    Operation(
        "get", _JOBS, "listTuningJobs", "List fine-tuning jobs", tuning.TuningJobList,
        query=(*CURSOR, "metadata"),
    ),
    Operation("post", _JOBS, "createTuningJob", "Fine-tune a model", tuning.TuningJob, tuning.TuningRequest),
    Operation("get", f"{_JOBS}/{{id}}", "showTuningJob", "Show a fine-tuning job", tuning.TuningJob),
    Operation("post", f"{_JOBS}/{{id}}/cancel", "cancelTuningJob", "Stop a fine-tuning job", tuning.TuningJob),
    Operation("post", f"{_JOBS}/{{id}}/pause", "pauseTuningJob", "Pause a fine-tuning job", tuning.TuningJob),
    Operation("post", f"{_JOBS}/{{id}}/resume", "resumeTuningJob", "Go on with a paused job", tuning.TuningJob),
    Operation(
        "get", f"{_JOBS}/{{id}}/events", "listTuningEvents", "What a job tells, newest first",
        tuning.TuningEventList, query=CURSOR,
    ),
    Operation(
        "get", f"{_JOBS}/{{id}}/checkpoints", "listTuningCheckpoints", "A job's callable checkpoints",
        tuning.TuningCheckpointList, query=CURSOR,
    ),
)  # fmt: skip
_STORES = "/v1/vector_stores"
_STORE, _MANY = f"{_STORES}/{{id}}", f"{_STORES}/{{id}}/file_batches"
_IN = f"{_STORE}/files"
_CURSORS = ("after", "before", "limit", "order")
STORES = (
    Operation("get", _STORES, "listStores", "List vector stores", stores.VectorStoreList, query=_CURSORS),
    Operation("post", _STORES, "createStore", "Make a vector store", stores.VectorStore, stores.StoreRequest),
    Operation("get", _STORE, "showStore", "Show a vector store", stores.VectorStore),
    Operation("post", _STORE, "updateStore", "Change a vector store", stores.VectorStore, stores.StoreUpdate),
    Operation("delete", _STORE, "deleteStore", "Delete a vector store", stores.VectorStoreDeleted),
    Operation(
        "post", f"{_STORE}/search", "searchStore", "Find passages for a question", stores.SearchPage,
        stores.SearchRequest,
    ),
    Operation(
        "get", _IN, "listStoreFiles", "List a vector store's files", stores.StoreFileList,
        query=(*_CURSORS, "filter"),
    ),
    Operation(
        "post", _IN, "addStoreFile", "Put a file into a vector store", stores.StoreFile, stores.StoreFileRequest
    ),
    Operation("get", f"{_IN}/{{file}}", "showStoreFile", "Show a vector store's file", stores.StoreFile),
    Operation(
        "post", f"{_IN}/{{file}}", "describeStoreFile", "Give a file other attributes", stores.StoreFile,
        stores.AttributesRequest,
    ),
    Operation(
        "delete", f"{_IN}/{{file}}", "removeStoreFile", "Take a file out of a vector store",
        stores.StoreFileDeleted,
    ),
    Operation("get", f"{_IN}/{{file}}/content", "readStoreFile", "The text of a file", stores.ContentPage),
    Operation(
        "post", _MANY, "createFileBatch", "Put many files into a vector store", stores.FileBatch,
        stores.FileBatchRequest,
    ),
    Operation("get", f"{_MANY}/{{batch}}", "showFileBatch", "Show a batch of files", stores.FileBatch),
    Operation("post", f"{_MANY}/{{batch}}/cancel", "cancelFileBatch", "Stop a batch of files", stores.FileBatch),
    Operation(
        "get", f"{_MANY}/{{batch}}/files", "listBatchFiles", "List a batch's files", stores.StoreFileList,
        query=(*_CURSORS, "filter"),
    ),
)  # fmt: skip
_TALK, _SAID = "/v1/responses", "/v1/conversations"
_ITEMS = f"{_SAID}/{{id}}/items"
RESPONSES = (
    Operation(
        "post", _TALK, "createResponse", "Answer, and keep the answer", responses.Response,
        responses.ResponseRequest, event=responses.ResponseEvent,
    ),
    Operation(
        "get", f"{_TALK}/{{id}}", "showResponse", "Show a response", responses.Response,
        query=("include", "stream", "starting_after", "include_obfuscation"), event=responses.ResponseEvent,
    ),
    Operation("delete", f"{_TALK}/{{id}}", "deleteResponse", "Delete a response", responses.ResponseDeleted),
    Operation("post", f"{_TALK}/{{id}}/cancel", "cancelResponse", "Stop a response", responses.Response),
    Operation(
        "get", f"{_TALK}/{{id}}/input_items", "listInputItems", "What a response was given", responses.ItemList,
        query=(*CURSOR, "order", "include"),
    ),
    Operation(
        "post", _SAID, "createConversation", "Begin a conversation", conversations.Conversation,
        conversations.ConversationRequest,
    ),
    Operation("get", f"{_SAID}/{{id}}", "showConversation", "Show a conversation", conversations.Conversation),
    Operation(
        "post", f"{_SAID}/{{id}}", "updateConversation", "Give a conversation other metadata",
        conversations.Conversation, conversations.ConversationUpdate,
    ),
    Operation(
        "delete", f"{_SAID}/{{id}}", "deleteConversation", "Delete a conversation",
        conversations.ConversationDeleted,
    ),
    Operation(
        "get", _ITEMS, "listConversationItems", "What was said", responses.ItemList,
        query=(*CURSOR, "order", "include"),
    ),
    Operation(
        "post", _ITEMS, "addConversationItems", "Add to a conversation", responses.ItemList,
        conversations.ConversationItems, query=("include",),
    ),
    Operation(
        "get", f"{_ITEMS}/{{item}}", "showConversationItem", "Show one item", items.Item,
        query=("include",),
    ),
    Operation(
        "delete", f"{_ITEMS}/{{item}}", "deleteConversationItem", "Take an item out of a conversation",
        conversations.Conversation,
    ),
)  # fmt: skip
_FILMS = "/v1/videos"
VIDEOS = (
    Operation("get", _FILMS, "listVideos", "List films", videos.VideoList, query=(*CURSOR, "order")),
    Operation("post", _FILMS, "createVideo", "Make a film", videos.Video, videos.VideoForm, form=True),
    Operation("get", f"{_FILMS}/{{id}}", "showVideo", "Show a film", videos.Video),
    Operation("delete", f"{_FILMS}/{{id}}", "deleteVideo", "Delete a film", videos.VideoDeleted),
    Operation(
        "get", f"{_FILMS}/{{id}}/content", "readVideo", "A film's content, or a range of it", None,
        query=("variant",),
    ),
    Operation(
        "post", f"{_FILMS}/{{id}}/remix", "remixVideo", "Make a film after another", videos.Video,
        videos.RemixRequest,
    ),
)  # fmt: skip
OPERATIONS: tuple[Operation, ...] = (*FILES, *BATCHES, *TUNING, *STORES, *RESPONSES, *VIDEOS)
