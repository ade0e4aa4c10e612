"""Routes over what a tenant keeps here: files, uploads, batches, fine-tuning jobs and vector stores."""
