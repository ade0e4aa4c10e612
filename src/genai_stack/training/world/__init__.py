"""A small English world, made up from a seed: the corpus the built-in model learns from.

The same seed gives the same corpus on any machine. Names fall into two sets by a hash of their letters: `train`
draws from one, `heldout` from the other, so a question about a held-out name can't be answered from memory.
"""
