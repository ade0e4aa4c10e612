"""/v1/responses and /v1/conversations: what a model answers, kept so that the next request can go on from it."""
