"""The training program: `python -m genai_stack.training SPEC` trains a model and writes its manifest last."""
