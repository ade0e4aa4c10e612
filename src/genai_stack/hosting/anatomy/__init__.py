"""`/v1/anatomy`: how a language model reads a text, in four steps, from the very weights that answer.

To see how it works, read the files in this order:

    tokens.py      step 1: the text is cut into pieces, each with a number
    decoder.py     steps 2 to 4 of a model that writes: vectors, layers of attention, a score for every next token
    encoder.py     the same of a model that turns a text into one vector
    arithmetic.py  the few formulas they need
    plan.py        what a request asks to see
    dissect.py     what is worth telling of each step: neighbours, movements, likeliest tokens
    opening.py     a model made of its files
    route.py       how a request is read and answered

All of it is NumPy on safetensors, in float32. The engine that serves may round the same weights to int8.
"""

from .route import answer

__all__ = ["answer"]
