"""Ready-made tasks on any chat model: a typed request goes in, prompts and calls of the model's host are made of it,
and a typed answer comes out. `run.run` is the way in; the API and the batch program both take it."""
