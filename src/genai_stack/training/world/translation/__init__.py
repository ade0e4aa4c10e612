"""English sentences with their translation to French, German and Spanish, drawn from one lexicon and one grammar.

Each English sentence has one translation, so an answer is right or wrong. One combination of words in ten is held
out, by a hash of its letters: training never sees it, and a held-out pair always has one.
"""

from .pairs import TARGETS, Pair, pair

__all__ = ["TARGETS", "Pair", "pair"]
