"""A small English world, made up from a seed: the corpus the built-in model learns from, and questions to score it by.

The same seed gives the same corpus on any machine. What a held-out question is made of never occurs in training: names
and combinations of words fall into two sets by a hash of their letters, and of every list of wordings the last are
kept back, one in eight. So a question can't be answered from memory.
"""
