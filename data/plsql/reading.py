"""What all parts of the parser share: looking at tokens, and the expressions. Pure.

Operator precedence is Oracle's (PL/SQL Language Reference, "Operator Precedence").
"""

from __future__ import annotations

from decimal import Decimal

from data.plsql.floats import narrowed
from data.plsql.tokens import BIND, END, NAME, NUMBER, OPERATOR, QUOTED, STRING, Token, tokens
from data.plsql.tree import (
    Apply,
    Argument,
    Attribute,
    Binary,
    Bind,
    Case,
    Expr,
    In,
    IsNull,
    Literal,
    Member,
    Multiset,
    Name,
    SqlExpr,
    Unary,
)
from protocol.errors import SqlSyntaxError

_COMPARISONS = {
    "=": "=",
    "<>": "<>",
    "!=": "<>",
    "^=": "<>",
    "~=": "<>",
    "<": "<",
    ">": ">",
    "<=": "<=",
    ">=": ">=",
}
_SPECIAL_SYNTAX = frozenset(
    {"CAST", "EXTRACT", "TRIM", "XMLELEMENT", "TIMESTAMPADD", "TIMESTAMPDIFF", "JSON_OBJECT"}
)
IS_TESTS = ("NAN", "INFINITE", "JSON")  # after IS [NOT]: what SQL answers
_NO_NAMES = frozenset(
    {"AND", "OR", "NOT", "IN", "IS", "BETWEEN", "LIKE", "THEN", "LOOP", "END", "BEGIN", "WHEN"}
    | {"ELSE", "ELSIF", "IF", "EXCEPTION", "INTO", "USING", "FROM", "WHERE", "DECLARE"}
)


class Reader:
    """Tokens of one text, and the expressions among them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokens(text)
        self._at = 0

    # -- tokens ------------------------------------------------------------------------------------
    @property
    def token(self) -> Token:
        """The next one."""
        return self._tokens[self._at]

    def ahead(self, count: int) -> Token:
        """The token `count` further; the END token beyond the end."""
        return self._tokens[min(self._at + count, len(self._tokens) - 1)]

    @property
    def passed(self) -> int:
        """How many tokens were taken."""
        return self._at

    def take(self) -> Token:
        """The next token, passed."""
        token = self._tokens[self._at]
        if token.kind != END:
            self._at += 1
        return token

    def is_word(self, *words: str) -> bool:
        """Is the next token one of these words?"""
        token = self._tokens[self._at]
        return token.kind == NAME and token.text in words

    def is_op(self, *operators: str) -> bool:
        """Is the next token one of these operators?"""
        token = self._tokens[self._at]
        return token.kind == OPERATOR and token.text in operators

    def words_ahead(self, *words: str) -> bool:
        """Are these the next words?"""
        return all(self.ahead(n)[:2] == (NAME, word) for n, word in enumerate(words))

    def accept(self, *words: str) -> bool:
        """Pass these words if they are next, all of them."""
        if not self.words_ahead(*words):
            return False
        self._at += len(words)
        return True

    def accept_op(self, operator: str) -> bool:
        """Pass an operator if it is next."""
        if not self.is_op(operator):
            return False
        self._at += 1
        return True

    def expect(self, *words: str) -> None:
        """Pass these words. Raises SqlSyntaxError."""
        for word in words:
            if not self.accept(word):
                raise self.error(word)

    def expect_op(self, operator: str) -> None:
        """Pass an operator. Raises SqlSyntaxError."""
        if not self.accept_op(operator):
            raise self.error(f'"{operator}"')

    def identifier(self, what: str = "a name") -> str:
        """Pass a name. Raises SqlSyntaxError."""
        token = self.token
        if token.kind == QUOTED or (token.kind == NAME and token.text not in _NO_NAMES):
            return self.take().text
        raise self.error(what)

    def dotted(self) -> tuple[str, ...]:
        """Pass a name with its qualifiers."""
        names = [self.identifier()]
        while self.accept_op("."):
            names.append(self.identifier())
        return tuple(names)

    def number(self) -> int:
        """Pass a whole number, with its sign."""
        sign = -1 if self.accept_op("-") else 1
        token = self.take()
        if token.kind != NUMBER or not token.text.isdigit():
            self._at -= 1
            raise self.error("a number")
        return sign * int(token.text)

    def error(self, expected: str = "") -> SqlSyntaxError:
        """What is wrong at the next token."""
        token = self.token
        found = f'"{self.text[token.start : token.end]}"' if token.kind != END else "end of input"
        message = f"syntax error at or near {found}"
        if expected:
            message += f": expected {expected}"
        return SqlSyntaxError(message, position=token.start + 1)

    # -- expressions -------------------------------------------------------------------------------
    def expression(self) -> Expr:
        """One expression."""
        left = self._and()
        while self.is_word("OR"):
            at = self.take().start
            left = Binary(at, "OR", left, self._and())
        return left

    def _and(self) -> Expr:
        left = self._not()
        while self.is_word("AND"):
            at = self.take().start
            left = Binary(at, "AND", left, self._not())
        return left

    def _not(self) -> Expr:
        if self.is_word("NOT"):
            at = self.take().start
            return Unary(at, "NOT", self._not())
        return self._comparison()

    def _comparison(self) -> Expr:
        left = self._sum()
        token = self.token
        if token.kind == OPERATOR and token.text in _COMPARISONS:
            self.take()
            return Binary(token.start, _COMPARISONS[token.text], left, self._sum())
        if self.accept("IS"):
            negated = self.accept("NOT")
            if self.accept("A", "SET"):
                test = Binary(token.start, "IS A SET", left, Literal(token.start, None))
                return Unary(token.start, "NOT", test) if negated else test
            if self.accept("EMPTY"):
                return IsNull(token.start, left, negated, empty=True)
            if self.is_word(*IS_TESTS):
                word = self.take().text
                test = Binary(token.start, f"IS {word}", left, Literal(token.start, None))
                return Unary(token.start, "NOT", test) if negated else test
            self.expect("NULL")
            return IsNull(token.start, left, negated)
        negated = self.is_word("NOT") and self.ahead(1).text in _RANGE_WORDS
        if negated:
            self.take()
        found = self._range_test(left, token.start)
        if found is None:
            return left
        return Unary(token.start, "NOT", found) if negated else found

    def _range_test(self, left: Expr, at: int) -> Expr | None:
        """[NOT] BETWEEN, IN, LIKE."""
        if self.accept("BETWEEN"):
            low = self._sum()
            self.expect("AND")
            high = self._sum()
            return Binary(at, "AND", Binary(at, ">=", left, low), Binary(at, "<=", left, high))
        if self.accept("IN"):
            self.expect_op("(")
            items = [self.expression()]
            while self.accept_op(","):
                items.append(self.expression())
            self.expect_op(")")
            return In(at, left, items)
        if self.accept("LIKE"):
            pattern = self._sum()
            escape = self._sum() if self.accept("ESCAPE") else None
            return Binary(at, "LIKE", left, pattern, escape)
        if self.is_word("MEMBER", "SUBMULTISET"):
            operator = self.take().text
            self.accept("OF")
            return Binary(at, operator, left, self._sum())
        return None

    def _sum(self) -> Expr:
        left = self._product()
        while self.is_op("+", "-", "||") or self.is_word("MULTISET"):
            token = self.take()
            if token.kind == NAME:
                left = self._multiset(token.start, left)
            else:
                left = Binary(token.start, token.text, left, self._product())
        return left

    def _multiset(self, at: int, left: Expr) -> Expr:
        if not self.is_word("UNION", "INTERSECT", "EXCEPT"):
            raise self.error("UNION, INTERSECT or EXCEPT")
        operator = self.take().text
        distinct = self.accept("DISTINCT")
        if not distinct:
            self.accept("ALL")
        return Multiset(at, operator, distinct, left, self._product())

    def _product(self) -> Expr:
        left = self._sign()
        while self.is_op("*", "/") or self.is_word("MOD", "REM"):
            token = self.take()
            left = Binary(token.start, token.text, left, self._sign())
        return left

    def _sign(self) -> Expr:
        if self.is_op("-", "+"):
            token = self.take()
            return Unary(token.start, token.text, self._sign())
        left = self._primary()
        if self.is_op("**"):
            token = self.take()
            return Binary(token.start, "**", left, self._sign())
        return left

    def _primary(self) -> Expr:
        token = self.token
        if token.kind == NUMBER:
            self.take()
            return Literal(token.start, number_of(token.text))
        if token.kind == STRING:
            self.take()
            return Literal(token.start, token.text or None)
        if token.kind == BIND:
            self.take()
            return Bind(token.start, token.text.lstrip(":$").upper())
        if self.accept_op("("):
            inner = self.expression()
            self.expect_op(")")
            return inner
        if token.kind == NAME:
            special = self._word(token)
            if special is not None:
                return special
        return self.chain()

    def _word(self, token: Token) -> Expr | None:
        """What begins with a reserved word."""
        word = token.text
        if word in ("NULL", "TRUE", "FALSE"):
            self.take()
            return Literal(token.start, {"NULL": None, "TRUE": True, "FALSE": False}[word])
        if word == "CASE":
            return self._case()
        follows = self.ahead(1)
        typed = word in ("DATE", "TIMESTAMP", "INTERVAL") and follows.kind == STRING
        if typed:
            self.take()
            end = self.take().end
            while word == "INTERVAL" and self.is_word(*_INTERVAL_WORDS):
                end = self.take().end
                if self.is_op("("):
                    end = self._past_parentheses()
            return SqlExpr(token.start, end)
        if word in _SPECIAL_SYNTAX and follows.text == "(":
            self.take()
            return SqlExpr(token.start, self._past_parentheses())
        return None

    def _past_parentheses(self) -> int:
        """Pass (…); gives where it ends."""
        depth = 0
        while True:
            token = self.take()
            if token.kind == END:
                raise self.error('")"')
            if token.kind == OPERATOR and token.text in "()":
                depth += 1 if token.text == "(" else -1
                if not depth:
                    return token.end

    def _case(self) -> Expr:
        at = self.take().start
        operand = None if self.is_word("WHEN") else self.expression()
        whens: list[tuple[Expr, Expr]] = []
        while self.accept("WHEN"):
            condition = self.expression()
            self.expect("THEN")
            whens.append((condition, self.expression()))
        otherwise = self.expression() if self.accept("ELSE") else None
        self.expect("END")
        if not whens:
            raise self.error("WHEN")
        return Case(at, operand, whens, otherwise)

    def chain(self) -> Expr:
        """A name with what follows it: members, arguments, an attribute."""
        at = self.token.start
        found: Expr = Name(at, self.identifier("an expression"))
        while True:
            if self.is_op(".") and self.ahead(1).kind in (NAME, QUOTED):
                self.take()
                found = Member(at, found, self.take().text)
            elif self.is_op("("):
                found = Apply(at, found, self.arguments())
            elif self.is_op("%") and self.ahead(1).kind == NAME:
                self.take()
                name = self.take().text
                argument = None
                if name in ("BULK_ROWCOUNT", "BULK_EXCEPTIONS") and self.accept_op("("):
                    argument = self.expression()
                    self.expect_op(")")
                found = Attribute(at, found, name, argument)
            else:
                return found

    def arguments(self) -> list[Argument]:
        """(a, name => b, …), the parentheses too."""
        self.expect_op("(")
        found: list[Argument] = []
        if self.accept_op(")"):
            return found
        while True:
            name = ""
            if self.token.kind in (NAME, QUOTED) and self.ahead(1)[:2] == (OPERATOR, "=>"):
                name = self.identifier()
                self.take()
            found.append(Argument(self.expression(), name))
            if not self.accept_op(","):
                break
        self.expect_op(")")
        return found


_RANGE_WORDS = ("BETWEEN", "IN", "LIKE", "MEMBER", "SUBMULTISET")
_INTERVAL_WORDS = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "TO")


def number_of(text: str) -> int | Decimal | float:
    """The value of a number as written: 1, 1.5, 1e3, 2f, 2d."""
    if text[-1] in "fFdD":
        number = float(text[:-1])
        return narrowed(number) if text[-1] in "fF" else number
    if text.isdigit():
        return int(text)
    value = Decimal(text)
    whole = value.to_integral_value()
    return int(whole) if value == whole else value
