"""Rows of the sample: real-looking, and the same on every machine (one seed). Pure.

Each function yields lines of COPY text format: tab between columns, \\N for NULL.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

SEED = 2021
CUSTOMERS = 100_000
ACCOUNTS = 100_000
TRANSACTIONS = 20_000
NULL = "\\N"
FIRST_MEMBER = datetime(2001, 1, 1)
MEMBER_DAYS = 8_000
BALANCE_CENTS_MAX = 50_000
NAMED = {  # customers that the documented sessions show
    910: ("Tessa", "Riley"),
    911: ("Rashad", "Riley"),
    912: ("Emma", "Riley"),
    913: ("Erin", "Rivera"),
    914: ("Ava", "Roberts"),
    915: ("Lee", "Roberts"),
    916: ("Clint", "Roberts"),
    917: ("Faith", "Robertson"),
    918: ("Miguel", "Robinson"),
    919: ("Mozell", "Robinson"),
    920: ("Darryl", "Rodgers"),
}
TYPES = "IIIIFFHBPPPQ"  # as frequent as they stand here
STATUSES = (10, 10, 10, 10, 10, 10, 10, 10, 20, 30, 40, 50)
OPERATIONS = ("C", "C", "C", "A", "T")  # charge, authorise, top up


def _words(text: str) -> list[str]:
    return text.split()


FIRST_NAMES = _words(
    "Ada Adrian Aisha Alan Alba Alice Amir Amy Ana Andre Anita Anton Ava Ben Bianca Boris Bruno"
    " Camila Carl Carmen Chloe Clara Clint Colin Cora Dana Daniel Darryl Dario Dean Delia Diego"
    " Dora Edgar Elena Elias Ella Emil Emma Eric Erin Esther Eva Faith Felix Fiona Frank Freya"
    " Gabriel Gina Grace Greta Hana Hannah Hassan Hector Helen Hugo Ian Ida Igor Ines Iris Ivan"
    " Jack Jana Jean Jenna Joan Joel Jonas Josef Julia Kamal Karen Karl Kate Keiko Kurt Lara"
    " Laura Lee Lena Leo Liam Lina Linus Lola Lorenzo Lucas Lucia Luis Mara Marco Maria Marta"
    " Mateo Maya Mia Miguel Mila Mira Mozell Nadia Naomi Nico Nina Noah Nora Olga Oliver Omar"
    " Oscar Otto Pablo Paul Petra Pia Priya Quinn Rashad Ravi Rita Robin Rosa Ruben Ruth Sam"
    " Sara Sean Selma Simon Sofia Stefan Tamara Tara Tessa Theo Tina Tom Uma Ursula Vera Victor"
    " Viola Wanda Will Yara Yusuf Zoe"
)
LAST_NAMES = _words(
    "Abbott Acosta Adams Ahmed Allen Alvarez Anders Arnold Atkins Bailey Baker Barnes Bauer Becker"
    " Bell Bennett Berg Bishop Black Boyd Brandt Brooks Brown Bruno Burke Burns Byrne Campbell"
    " Carlson Carter Castro Chan Chang Chapman Chen Clark Cole Collins Cook Cooper Costa Cox Cruz"
    " Curtis Daly Davis Dean Diaz Dixon Doyle Dunn Edwards Ellis Evans Farmer Ferrari Fischer"
    " Fleming Flores Ford Foster Fox Frank Freeman Fuchs Garcia Gibson Gomez Gonzalez Graham Grant"
    " Gray Green Griffin Gupta Haas Hall Hansen Harris Hart Hayes Hernandez Hill Hoffman Holmes"
    " Howard Hughes Hunt Ito Ivanov Jackson Jacobs James Jensen Jones Jordan Kaiser Kaur Keller"
    " Kelly Khan Kim King Klein Knight Koch Kowalski Kumar Lane Lang Larsen Lee Lewis Lopez Lynch"
    " Marino Marsh Martin Mason Mendez Meyer Miller Mills Moore Morales Morgan Morris Moser Mueller"
    " Murphy Myers Nagy Nelson Nguyen Nielsen Nolan Novak Okafor Olsen Ortega Owens Palmer Park"
    " Parker Patel Perez Peters Petrov Powell Price Quinn Ramirez Reed Reyes Rice Richter Riley"
    " Rivera Roberts Robertson Robinson Rodgers Romano Rossi Russo Ryan Sanchez Santos Sato Schmidt"
    " Scott Shah Shaw Silva Simon Singh Smith Snyder Stone Suzuki Tanaka Taylor Torres Turner Vega"
    " Vogel Wagner Walker Wang Ward Weber West White Wilson Wolf Wood Wright Yamada Young Zhang"
    " Ziegler"
)
STREETS = _words(
    "Acacia Alder Ash Beech Birch Bridge Castle Cedar Chestnut Church Clover Elm Fern Forest"
    " Garden Harbour Hazel Hill Ivy King's Lake Laurel Lime Main Maple Market Meadow Mill North"
    " Oak Orchard Park Pine Poplar Queen's River Rose School South Spring Station Sycamore"
    " Tower Valley View Walnut Water West Willow"
)
KINDS = ("Street", "Road", "Avenue", "Lane", "Way")


def customers(count: int = CUSTOMERS) -> Iterator[str]:
    """cust_id 1..count, first_name, last_name, addr1, addr2, zipcode, member_since."""
    random = Random(f"{SEED} customers")
    for cust_id in range(1, count + 1):
        first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
        first, last = NAMED.get(cust_id, (first, last))
        addr1 = f"{random.randint(1, 399)} {random.choice(STREETS)} {random.choice(KINDS)}"
        addr2 = f"Apt {random.randint(1, 40)}" if random.random() < 0.3 else NULL
        zipcode = f"{random.randint(1001, 99950):05d}"
        since = FIRST_MEMBER + timedelta(days=random.randrange(MEMBER_DAYS))
        yield f"{cust_id}\t{first}\t{last}\t{addr1}\t{addr2}\t{zipcode}\t{since}\n"


def accounts(count: int = ACCOUNTS, customer_count: int = CUSTOMERS) -> Iterator[str]:
    """account_id 1..count, phone, type, status, balances, date_created, cust_id.

    Every customer of the documented sessions has an account; the others none, one or several.
    """
    random = Random(f"{SEED} accounts")
    named = sorted(number for number in NAMED if number <= customer_count)
    for account_id in range(1, count + 1):
        phone = f"{random.randint(200, 989)}-555-{random.randint(0, 9999):04d}"
        kind, status = random.choice(TYPES), random.choice(STATUSES)
        now = random.randint(0, BALANCE_CENTS_MAX)
        before = random.randint(0, BALANCE_CENTS_MAX)
        created = FIRST_MEMBER + timedelta(seconds=random.randrange(MEMBER_DAYS * 86_400))
        cust_id = random.randint(1, customer_count)
        if account_id <= len(named):
            cust_id = named[account_id - 1]
        yield (
            f"{account_id}\t{phone}\t{kind}\t{status}\t{_money(now)}\t{_money(before)}"
            f"\t{created}\t{cust_id}\n"
        )


def transactions(count: int = TRANSACTIONS, account_count: int = ACCOUNTS) -> Iterator[str]:
    """transaction_id 1..count, account_id, transaction_ts, description, optype, amount."""
    random = Random(f"{SEED} transactions")
    start = FIRST_MEMBER + timedelta(days=MEMBER_DAYS)
    for number in range(1, count + 1):
        account_id = random.randint(1, account_count)
        when = start + timedelta(milliseconds=random.randrange(365 * 86_400_000))
        kind = random.choice(OPERATIONS)
        text = f"Call of {random.randint(1, 90)} min" if kind == "C" else NULL
        amount = 1_000 if kind == "T" else random.randint(10, 100)
        moment = when.isoformat(sep=" ", timespec="milliseconds")
        yield f"{number}\t{account_id}\t{moment}\t{text}\t{kind}\t{_money(amount)}\n"


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
