"""Which files take longest."""

from __future__ import annotations

LONGEST = (
    "e2e/test_quickstart.py",
    "e2e/test_training_on_s3.py",
    "e2e/test_resources.py",
    "e2e/test_life_of_a_stack.py",
    "e2e/test_adapt.py",
    "bulk/test_batch.py",
    "training/test_distributed.py",
    "bulk/test_evaluate.py",
    "e2e/test_bulk.py",
    "e2e/test_clients.py",
    "training/test_methods.py",
    "cdk/service/test_app.py",
    "hosting/test_faults.py",
    "cdk/test_app.py",
    "cdk/hosting/test_endpoints.py",
    "training/test_program.py",
    "aws/test_stage.py",
    "aws/test_on_sagemaker.py",
    "e2e/test_lm_eval.py",
    "aws/test_stage_bulk.py",
    "cdk/hosting/test_app.py",
)
"""Under tests/, by the seconds they take."""
