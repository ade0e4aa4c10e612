"""Whether an account is fit for a stage, and what of it is there. Nothing is changed: every call reads."""
