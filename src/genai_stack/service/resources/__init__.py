"""Routes over what a tenant keeps here: files, uploads, batches and fine-tuning jobs."""
