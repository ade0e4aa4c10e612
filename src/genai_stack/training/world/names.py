"""Made-up and everyday names, words and amounts. A `Draw` never mixes the training and the held-out set."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

T = TypeVar("T")

_ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pr qu r s sh sl st t th tr v w y z".split()
_VOWELS = "a e i o u ai ea ee ia io oa ou".split()
_CODAS = "l n r s m t x d k nd rn st ll ck lm rt ng".split()
_PERSON_ENDS = ["a", "o", "i", "an", "en", "el", "is", "in", "ia", "ar", "ez", "ett", "ola", "ick"]
_PLACE_ENDS = ["ton", "ville", "ford", "port", "field", "wood", "burg", "mere", "dale", "ham", "haven", "stead"]
_FIRM_ENDS = [
    "Labs",
    "Foods",
    "Motors",
    "Systems",
    "Tools",
    "Books",
    "Energy",
    "Bank",
    "Media",
    "Works",
    "Group",
]

_FIRST = (
    "Anna Ben Clara David Emma Felix Grace Henry Ivy Jack Kate Leo Maria Noah Olga Paul Rosa Sam Tara Victor Wendy "
    "Yusuf Zoe Alice Bruno Carla Daniel Elena Frank Gina Hugo Irene James Karen Lucas Mina Nora Oscar Priya Quentin "
    "Ruth Simon Tom Uma Vera Will Ximena Yara Zack Ahmed Bella Chen Dina Omar Sofia Peter Laura Mark Julia"
).split()
_CITIES = (
    "London Paris Rome Berlin Madrid Oslo Lima Cairo Delhi Tokyo Boston Seattle Dublin Vienna Prague Lisbon Athens "
    "Toronto Sydney Nairobi Chicago Denver Austin Milan Geneva Warsaw Helsinki Bogota Hanoi Seoul"
).split()

ANIMALS = (
    "cat dog horse cow sheep goat pig rabbit fox wolf bear lion tiger zebra monkey otter seal whale owl eagle parrot "
    "duck goose hen swan frog snake turtle bee ant spider mouse deer camel panda"
).split()
FRUITS = (
    "apple banana cherry grape lemon mango orange peach pear plum kiwi fig melon lime apricot berry".split()
)
COLOURS = "red blue green yellow black white brown purple orange pink grey silver gold".split()
OBJECTS = (
    "lamp chair table phone camera kettle bicycle tent clock radio printer laptop tablet backpack jacket heater fan "
    "blender toaster speaker drill mirror sofa desk helmet watch keyboard monitor vacuum umbrella guitar bottle"
).split()
FOODS = (
    "bread cheese rice soup pasta salad pizza cake tea coffee milk honey butter fish eggs beans potatoes tomatoes "
    "carrots onions"
).split()
THINGS = (
    "river mountain garden bridge window letter music school road house tree stone cloud star ship train island forest "
    "field city door paper water fire night morning summer winter story picture market castle tower flower "
    "machine number answer question idea dream voice song game doctor teacher farmer pilot writer sailor baker artist"
).split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
WORDS = ANIMALS + FRUITS + COLOURS + OBJECTS + FOODS + THINGS
NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()


def is_heldout(name: str) -> bool:
    """One name in ten, by its letters alone, is kept out of every training corpus."""
    return crc32(name.encode()) % 10 == 0


def split(wordings: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """The wordings that training may use, and the held-out ones: the last of each list, one in eight."""
    held = max(1, len(wordings) // 8)
    return wordings[:-held], wordings[-held:]


def is_heldout_pair(first: str, second: str) -> bool:
    """One combination in eight is kept out of every training corpus."""
    return crc32(f"{first}|{second}".encode()) % 8 == 0


class Draw:
    """Seeded draws of names and amounts. `heldout` chooses which of the two disjoint sets of names is drawn from."""

    def __init__(self, seed: int, *, heldout: bool = False) -> None:
        self.random = random.Random(seed)
        self.heldout = heldout

    def one(self, items: Sequence[str]) -> str:
        return items[int(self.random.random() * len(items))]

    def wording(self, wordings: Sequence[T]) -> T:
        """One of the list's wordings for training, or of its held-out ones."""
        held = len(wordings) // 8 or 1
        trained = len(wordings) - held
        if self.heldout:
            return wordings[trained + int(self.random.random() * held)]
        return wordings[int(self.random.random() * trained)]

    def pair(self, firsts: Sequence[str], seconds: Sequence[str]) -> tuple[str, str]:
        """Two words whose combination is in this draw's set."""
        while True:
            first, second = self.one(firsts), self.one(seconds)
            if self.has_pair(first, second):
                return first, second

    def has_pair(self, first: str, second: str) -> bool:
        return is_heldout_pair(first, second) == self.heldout

    def some(self, items: Sequence[str], count: int) -> list[str]:
        return self.random.sample(list(items), count)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def stem(self) -> str:
        word = self.one(_ONSETS) + self.one(_VOWELS)
        if self.chance(0.5):
            word += self.one(_CODAS)
        if self.chance(0.35):
            word += self.one(_VOWELS[:5]) + self.one(_CODAS[:7])
        return word.capitalize()

    def _named(self, stem_end: Sequence[str], familiar: Sequence[str], share: float) -> str:
        while True:
            name = self.one(familiar) if self.chance(share) else self.stem() + self.one(stem_end)
            if is_heldout(name) == self.heldout:
                return name

    def first_name(self) -> str:
        return self._named(_PERSON_ENDS, _FIRST, 0.4)

    def surname(self) -> str:
        return self._named(_PERSON_ENDS, _PERSON_ENDS, 0.0)

    def person(self) -> str:
        return f"{self.first_name()} {self.surname()}" if self.chance(0.6) else self.first_name()

    def place(self) -> str:
        return self._named(_PLACE_ENDS, _CITIES, 0.35)

    def company(self) -> str:
        stem = self._named(["a", "o", "ex", "ix"], ["Atlas"], 0.0)
        return f"{stem} {self.one(_FIRM_ENDS)}" if self.chance(0.8) else stem

    def product(self) -> str:
        stem = self._named(["us", "o", "ix", "a"], ["Atlas"], 0.0)
        return f"{stem} {self.number(1, 99)}" if self.chance(0.4) else stem

    def named(self, *ends: str) -> str:
        """A made-up stem with one of `ends`: `Brealm Cafe`."""
        return f"{self._named(['a', 'o', 'el'], ['Atlas'], 0.0)} {self.one(ends)}"

    def country(self) -> str:
        return self._named(["land", "ia", "istan"], ["Atlas"], 0.0)

    def invented(self) -> str:
        """A short word that no language has."""
        return self._named(["o", "a", "ix", "um"], ["Atlas"], 0.0).lower()

    def time(self) -> str:
        if self.chance(0.5):
            return f"{self.number(0, 23):02d}:{self.one(['00', '15', '30', '45', '10', '20', '40', '50'])}"
        return f"{self.number(1, 12)} {self.one(['am', 'pm'])}"

    def date(self) -> str:
        return f"{self.number(1, 28)} {self.one(MONTHS)}" if self.chance(0.6) else self.one(DAYS)

    def money(self) -> str:
        amount = self.one(
            [str(self.number(2, 99)), str(self.number(1, 99) * 10), str(self.number(1, 99) * 100)]
        )
        return f"{amount} {self.one(['dollars', 'euros', 'pounds'])}"

    def code(self) -> str:
        """An order or ticket number: four to six digits, or two letters and three digits."""
        if self.chance(0.7):
            return str(self.number(1000, 999999))
        return self.one("ABCDEFGHKLMNPRSTUVWX") + self.one("ABCDEFGHKLMNPRSTUVWX") + str(self.number(100, 999))
