"""Which files take longest."""

from __future__ import annotations

LONGEST = (
    "e2e/test_quickstart.py",
    "training/test_distributed.py",
    "e2e/test_clients.py",
    "e2e/test_lm_eval.py",
    "bulk/test_evaluate.py",
    "training/test_methods.py",
    "training/test_program.py",
    "e2e/test_training_on_s3.py",
    "e2e/test_bulk.py",
    "aws/test_stage.py",
    "bulk/test_batch.py",
    "aws/test_on_sagemaker.py",
    "e2e/test_life_of_a_stack.py",
    "cdk/service/test_app.py",
    "hosting/test_faults.py",
    "aws/test_stage_bulk.py",
    "cdk/hosting/test_endpoints.py",
    "cdk/hosting/test_app.py",
    "e2e/test_resources.py",
    "cdk/test_app.py",
)
"""Under tests/, by the seconds they take."""
