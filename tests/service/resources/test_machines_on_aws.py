"""The same machines over DynamoDB and S3, as moto has them behind a loopback server; a few examples of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from genai_stack.aws.objects import S3Objects
from genai_stack.aws.records import DynamoRecords
from genai_stack.aws.vectors import S3Vectors
from genai_stack.ports import Services
from genai_stack.registry import RecordedModels
from tests.aws.account import account
from tests.contracts.adapters import made_bucket, made_table, made_vector_bucket
from tests.service.fakes import FakeHost
from tests.service.resources.conftest import MODELS
from tests.service.resources.queue import HandQueue
from tests.service.resources.test_batches_machine import BatchesMachine
from tests.service.resources.test_files_machine import FilesMachine
from tests.service.resources.test_stores_machine import StoresMachine
from tests.service.resources.test_tuning_machine import TuningMachine
from tests.service.responses.test_talk_machine import TalkMachine
from tests.service.videos.test_videos_machine import VideosMachine


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in account().environment.items():
        monkeypatch.setenv(name, value)


def stores(root: Path, jobs: HandQueue) -> Services:
    records = DynamoRecords(made_table(root))
    registry: Any = RecordedModels(records, MODELS)
    return Services(S3Objects(made_bucket(root)), records, jobs, registry, FakeHost())


class FilesOnAws(FilesMachine):
    stores = staticmethod(stores)


class BatchesOnAws(BatchesMachine):
    stores = staticmethod(stores)


def vectors(root: Path) -> S3Vectors:
    return S3Vectors(made_vector_bucket(root), DynamoRecords(made_table(root)), S3Objects(made_bucket(root)))


class StoresOnAws(StoresMachine):
    stores = staticmethod(stores)
    vectors = staticmethod(vectors)


class TuningOnAws(TuningMachine):
    stores = staticmethod(stores)


FEW = settings(max_examples=2, stateful_step_count=8, deadline=None, database=None)
TestFilesOnAws, TestBatchesOnAws, TestStoresOnAws, TestTuningOnAws = (
    machine.TestCase for machine in (FilesOnAws, BatchesOnAws, StoresOnAws, TuningOnAws)
)
TestFilesOnAws.settings = TestBatchesOnAws.settings = FEW
TestStoresOnAws.settings = TestTuningOnAws.settings = FEW


class TalkOnAws(TalkMachine):
    stores = staticmethod(stores)


TestTalkOnAws = TalkOnAws.TestCase
TestTalkOnAws.settings = FEW


class VideosOnAws(VideosMachine):
    stores = staticmethod(stores)


TestVideosOnAws = VideosOnAws.TestCase
TestVideosOnAws.settings = FEW
