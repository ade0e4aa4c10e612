"""`python -m genai_stack` is `genai-stack`."""

from .cli import main

main()
