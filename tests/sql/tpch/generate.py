"""Rows of the eight TPC-H tables at any scale factor: the same on every machine. Pure.

Distributions follow dbgen (TPC-H specification 4.2.3): sparse order keys, customers without
orders, four suppliers per part, flags and states that follow from dates. Texts are our own words in
the same proportions, so answers differ from those of dbgen's data, but not their nature. At scale 1
there are 6 million lineitems. Each function yields rows of str, int and dates as COPY writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

from tests.sql.tpch import words

Row = tuple[object, ...]

FIRST_DAY = date(1992, 1, 1)
ORDER_DAYS = (date(1998, 12, 31) - timedelta(151) - FIRST_DAY).days
TODAY = date(1995, 6, 17)  # 4.2.2.12: what was received until then may have been returned
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ, "


class Sizes:
    """Rows per table at a scale factor."""

    def __init__(self, scale: float) -> None:
        self.suppliers = max(int(10_000 * scale), 8)
        self.parts = max(int(200_000 * scale), 40)
        self.customers = max(int(150_000 * scale), 30)
        self.orders = max(int(1_500_000 * scale), 300)
        self.clerks = max(int(1_000 * scale), 1)


def _random(table: str) -> Random:
    return Random(f"tpch {table}")


def _money(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02}"


def _text(rng: Random, shortest: int, longest: int) -> str:
    """Sentences of 4.2.2.14, roughly: adverb verb adjective noun …, cut to a random length."""
    length = rng.randint(shortest, longest)
    pick = rng.choice
    parts: list[str] = []
    size = 0
    while size < length:
        part = f"{pick(words.ADJECTIVES)} {pick(words.NOUNS)} {pick(words.VERBS)}"
        if rng.random() < 0.5:
            part += f" {pick(words.ADVERBS)}"
        parts.append(part)
        size += len(part) + 1
    return " ".join(parts)[:length].strip()


def _address(rng: Random) -> str:
    return "".join(rng.choices(_ALPHABET, k=rng.randint(10, 40))).strip() or "-"


def _phone(rng: Random, nation: int) -> str:
    numbers = (rng.randint(100, 999), rng.randint(100, 999), rng.randint(1000, 9999))
    return "{}-{}-{}-{}".format(nation + 10, *numbers)


def region(scale: float) -> Iterator[Row]:
    """Always five."""
    rng = _random("region")
    for key, name in enumerate(words.REGIONS):
        yield key, name, _text(rng, 31, 115)


def nation(scale: float) -> Iterator[Row]:
    """Always twenty-five."""
    rng = _random("nation")
    for key, (name, region_key) in enumerate(words.NATIONS):
        yield key, name, region_key, _text(rng, 31, 114)


def supplier(scale: float) -> Iterator[Row]:
    """Some have complaints in their comments, some recommendations (4.2.3)."""
    rng = _random("supplier")
    for key in range(1, Sizes(scale).suppliers + 1):
        home = rng.randrange(25)
        comment = _text(rng, 25, 80)
        if key % 500 == 7:
            comment = f"{comment[:30]} Customer {rng.choice(words.ADVERBS)} Complaints"
        elif key % 500 == 11:
            comment = f"{comment[:30]} Customer {rng.choice(words.ADVERBS)} Recommends"
        balance = _money(rng.randint(-99_999, 999_999))
        yield key, f"Supplier#{key:09}", _address(rng), home, _phone(rng, home), balance, comment


def retail_cents(key: int) -> int:
    """Price of a part (4.2.3)."""
    return 90_000 + key // 10 % 20_001 + 100 * (key % 1_000)


def part(scale: float) -> Iterator[Row]:
    """Names of five colours, types of three words."""
    rng = _random("part")
    for key in range(1, Sizes(scale).parts + 1):
        maker = rng.randint(1, 5)
        kind = (words.TYPE_SIZES, words.TYPE_FINISHES, words.TYPE_METALS)
        yield (
            key,
            " ".join(rng.sample(words.COLOURS, 5)),
            f"Manufacturer#{maker}",
            f"Brand#{maker}{rng.randint(1, 5)}",
            " ".join(rng.choice(k) for k in kind),
            rng.randint(1, 50),
            f"{rng.choice(words.CONTAINER_SIZES)} {rng.choice(words.CONTAINERS)}",
            _money(retail_cents(key)),
            _text(rng, 5, 22),
        )


def supplier_of(part_key: int, number: int, suppliers: int) -> int:
    """One of the four suppliers of a part (4.2.3)."""
    step = number * (suppliers // 4 + (part_key - 1) // suppliers)
    return (part_key + step) % suppliers + 1


def partsupp(scale: float) -> Iterator[Row]:
    """Four suppliers per part."""
    rng = _random("partsupp")
    sizes = Sizes(scale)
    for key in range(1, sizes.parts + 1):
        for who in dict.fromkeys(supplier_of(key, n, sizes.suppliers) for n in range(4)):
            cost = _money(rng.randint(100, 100_000))
            yield key, who, rng.randint(1, 9_999), cost, _text(rng, 49, 198)


def customer(scale: float) -> Iterator[Row]:
    """Every third has no orders."""
    rng = _random("customer")
    for key in range(1, Sizes(scale).customers + 1):
        home = rng.randrange(25)
        yield (
            key,
            f"Customer#{key:09}",
            _address(rng),
            home,
            _phone(rng, home),
            _money(rng.randint(-99_999, 999_999)),
            rng.choice(words.SEGMENTS),
            _text(rng, 29, 116),
        )


def _lines(rng: Random, order_key: int, ordered: date, sizes: Sizes) -> list[tuple[Row, int]]:
    """Lineitems of an order, each with its price with discount and tax, in 10^-4 cents."""
    made: list[tuple[Row, int]] = []
    for line in range(1, rng.randint(1, 7) + 1):
        part_key = rng.randint(1, sizes.parts)
        who = supplier_of(part_key, rng.randrange(4), sizes.suppliers)
        quantity, discount, tax = rng.randint(1, 50), rng.randint(0, 10), rng.randint(0, 8)
        cents = quantity * retail_cents(part_key)
        shipped = ordered + timedelta(rng.randint(1, 121))
        promised = ordered + timedelta(rng.randint(30, 90))
        received = shipped + timedelta(rng.randint(1, 30))
        row = (
            order_key,
            part_key,
            who,
            line,
            quantity,
            _money(cents),
            f"0.{discount:02}",
            f"0.{tax:02}",
            rng.choice("RA") if received <= TODAY else "N",
            "O" if shipped > TODAY else "F",
            shipped,
            promised,
            received,
            rng.choice(words.INSTRUCTIONS),
            rng.choice(words.MODES),
            _text(rng, 10, 43),
        )
        made.append((row, cents * (100 - discount) * (100 + tax)))
    return made


def _orders(scale: float) -> Iterator[tuple[Row, list[Row]]]:
    rng = _random("orders")
    sizes = Sizes(scale)
    for number in range(sizes.orders):
        key = number // 8 * 32 + number % 8 + 1  # 8 of 32 keys are used
        buyer = rng.randint(1, sizes.customers)
        while buyer % 3 == 0:
            buyer = rng.randint(1, sizes.customers)
        ordered = FIRST_DAY + timedelta(rng.randint(0, ORDER_DAYS))
        lines = _lines(rng, key, ordered, sizes)
        states = {row[9] for row, _ in lines}
        row = (
            key,
            buyer,
            str(states.pop()) if len(states) == 1 else "P",
            _money((sum(price for _, price in lines) + 5_000) // 10_000),
            ordered,
            rng.choice(words.PRIORITIES),
            f"Clerk#{rng.randint(1, sizes.clerks):09}",
            0,
            _text(rng, 19, 78),
        )
        yield row, [line for line, _ in lines]


def orders(scale: float) -> Iterator[Row]:
    """Ten per customer on the average, of those that order."""
    return (row for row, _ in _orders(scale))


def lineitem(scale: float) -> Iterator[Row]:
    """One to seven per order."""
    return (line for _, lines in _orders(scale) for line in lines)


TABLES = {
    "region": region,
    "nation": nation,
    "supplier": supplier,
    "part": part,
    "partsupp": partsupp,
    "customer": customer,
    "orders": orders,
    "lineitem": lineitem,
}


def copy_lines(table: str, scale: float) -> Iterator[str]:
    """The rows of a table in COPY's text format."""
    for row in TABLES[table](scale):
        yield "\t".join(map(str, row)) + "\n"
