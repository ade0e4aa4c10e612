"""Text out of documents. A program of its own (`python -m genai_stack.documents`), since a document is a stranger's:
the process that reads it has limits, and may die."""
