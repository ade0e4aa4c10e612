"""The model server: SageMaker's container contract over OpenVINO GenAI, on this machine.

A request's way through the room: `server` (HTTP) → `fleet` (which engine answers to that model name) → a route
(`chat`, `completions`, `embeddings`, `tokens`), which turns text into token ids with `text` and what is asked of the
output into a grammar with `grammar` → `engine` (the parent's side of a child process) → `worker` (the child: it
knows token ids only). Ahead of serving, `artefact` turns a model directory into the engine's form with `weights`,
`llama`, `bert` and `lora`.
"""
