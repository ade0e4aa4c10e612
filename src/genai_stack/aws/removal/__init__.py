"""Taking a stage out of an account again: its stacks, what was made beside them, and what they keep.

Nothing is touched that isn't the stage's: a stack goes by its name and must have the stage's tag, all else by a stack's
own list of resources, or by a name that `names` makes of the stage and a model's.
"""
