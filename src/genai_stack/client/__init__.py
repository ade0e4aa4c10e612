"""`GenAIStack` and `AsyncGenAIStack`: the three layers from Python, as `.training`, `.hosting` and `.service`.

    with GenAIStack.local() as stack:
        job = stack.training.fine_tune("train.jsonl", suffix="support").wait()
        stack.service.openai.chat.completions.create(model=job.model, messages=[…])

`local` joins the stack that runs in a home directory, or starts one that ends with this program; `deployed` finds the
one in an account. What a layer needs is loaded when the layer is first used.
"""

from .asynchronous import AsyncGenAIStack
from .stack import GenAIStack

__all__ = ["AsyncGenAIStack", "GenAIStack"]
