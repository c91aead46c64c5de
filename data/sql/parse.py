"""Text → what kind of statement it is, and for queries and DML the sqlglot tree. Pure.

sqlglot is used unsubclassed (its compiled build refuses subclasses): its Oracle tokenizer, a pass
over the tokens, its parser. The pass renames function calls to TG_F_<NAME> so that sqlglot keeps
them as they are written, numbers the parameters ($1 …), and turns what its grammar lacks into
calls: TimesTen's FIRST n / ROWS m TO n, typed literals, SYSDATE and its like.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp
from sqlglot.dialects.oracle import Oracle
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token, TokenType

from data.sql.merge_tokens import merge_tokens
from data.sql.parse_json import JSON_CALLS_WITH_CLAUSES, rewrite_json_call
from data.sql.shape import check_shape
from data.sql.text import PLAIN_DECLARE, unescaped
from data.sql.words import (
    DATE_LITERALS,
    DDL,
    KEYWORD_CALLS,
    NILADIC,
    OTHER_CALLS,
    SYNTAX_CALLS,
    UTILITY,
    WORDS_BEFORE_CALLS,
)
from protocol.errors import (
    NotSupportedError,
    ParameterError,
    SqlSyntaxError,
    UnknownParameterError,
)
from protocol.names import folded_quoted

PREFIX = "TG_F_"
_DIALECT = Oracle()
_HINTS = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*\+(?P<hint>.*?)\*/|/\*.*?\*/", re.DOTALL
)
_UNITS = re.compile(r"'(?:[^']|'')*+'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|(?P<torn>'|\"|/\*)", re.DOTALL)
_TORN = {"'": "quoted string", '"': "quoted identifier", "/*": "comment"}
_TAKES_HINTS = re.compile(
    r"\s*(select|insert|update|delete|merge|with|values|explain)\b", re.IGNORECASE
)
_HINT = re.compile(r"([A-Za-z_]\w*)\s*(?:\(([^)]*)\))?")
_FIRST_WORDS = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*([A-Za-z_]+)", re.DOTALL)
_ESCAPING = re.compile(
    r"(?<![\w$#])[eE]'(?:[^'\\]|\\.|'')*+'|'(?:[^']|'')*+'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.DOTALL
)
_MARK = re.compile(r"\$\d+")
_INT8 = re.compile(r"\bint8\b", re.IGNORECASE)
_NO_CALL_AFTER = frozenset(
    {
        TokenType.INTO,
        TokenType.DOT,
        TokenType.JOIN,
        TokenType.TABLE,
        TokenType.UPDATE,
        TokenType.ALIAS,
        TokenType.DCOLON,
        TokenType.VAR,
        TokenType.IDENTIFIER,
        TokenType.R_PAREN,
        TokenType.WITH,
    }
)


@dataclass(slots=True)
class Parsed:
    """A statement; kind: empty query insert update delete merge explain copy utility ddl block."""

    kind: str
    text: str
    first_word: str = ""
    tree: Any = None
    param_count: int = 0
    param_names: dict[str, int] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)
    alias: str = ""  # INSERT INTO t AS alias
    default_values: bool = False  # INSERT INTO t DEFAULT VALUES
    first: Any = None  # of DELETE FIRST n / UPDATE FIRST n: a number token's text or "$k"


def read_hints(text: str) -> tuple[str, dict[str, str]]:
    """The text with its hints blanked out (places stay), and the hints by upper-case name.

    Of a hint given twice the first counts: those of the connection come behind the statement.
    """
    hints: dict[str, str] = {}
    if "/*+" not in text:
        return text, hints
    for match in _HINTS.finditer(text):
        if match["hint"] is not None:
            for name, argument in _HINT.findall(match["hint"]):
                hints.setdefault(name.upper(), argument.strip().upper())
            start, end = match.span()
            text = text[:start] + " " * (end - start) + text[end:]
    return text, hints


def with_hints(text: str, hints: str) -> str:
    """The statement with a connection's hints (OptimizerHint), if it is one that takes hints."""
    return f"{text}\n/*+ {hints} */" if _TAKES_HINTS.match(text) else text


# a block, or CREATE of a stored unit, for drivers that cut statements at semicolons (pgjdbc)
_DO = re.compile(
    r"\s*do\s+(?P<mark>\$\w*\$)(?P<inner>.*)(?P=mark)(?:\s*language\s+[\w']+)?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)


def check_hints(hints: str) -> str:
    """Hints as an attribute or setting gives them, without the marks. Raises ParameterError."""
    bare = hints.strip().removeprefix("/*+").removesuffix("*/").strip()
    if _HINT.sub("", bare).strip():
        raise ParameterError(
            f"OptimizerHint {hints!r}: hints are names with arguments in parentheses",
            hint="For example: TT_PartialResult(1) TT_TblLock(1)",
        )
    return bare


def parse_statement(text: str) -> Parsed:
    """Dispatch on the first word; queries and DML are parsed. Raises SqlSyntaxError."""
    match = _FIRST_WORDS.match(text)
    if match is None:
        if re.match(r"\s*<<\s*\w+\s*>>", text):  # the label of a block
            return Parsed("block", text, "BEGIN")
        if text.strip(" \t\r\n;") and not re.fullmatch(r"(?:\s|;|--[^\n]*|/\*.*?\*/)*", text, re.S):
            raise SqlSyntaxError(f'syntax error at or near "{text.strip()[:20]}"', position=1)
        return Parsed("empty", text)
    word = match.group(1).upper()
    if word == "TABLE":  # TABLE t
        start = match.start(1)
        return _parse_tree("query", "SELECT", f"{text[:start]}SELECT * FROM {text[start + 5 :]}")
    if word in ("SELECT", "WITH", "VALUES"):
        return _parse_tree("query", word, text)
    if word in ("INSERT", "UPDATE", "DELETE", "MERGE"):
        return _parse_tree(word.lower(), word, text)
    if word == "EXPLAIN":
        return Parsed("explain", text, word)
    if word == "COPY":
        return Parsed("copy", text, word)
    if word in DDL:
        return Parsed("ddl", text, word)
    if word == "DECLARE" and PLAIN_DECLARE.match(text, match.end(1)) is None:
        return Parsed("block", text, word)
    if word == "BEGIN" and not re.match(
        r"\s*begin\s*(;|$|work\b|transaction\b|isolation\b|read\b|not\b|deferrable\b)", text, re.I
    ):
        return Parsed("block", text, word)
    if word == "DO" and (quoted := _DO.fullmatch(text)) is not None:
        return parse_statement(quoted["inner"])
    if word in UTILITY:
        return Parsed("utility", text, word)
    raise SqlSyntaxError(f'syntax error at or near "{match.group(1)}"', position=match.start(1) + 1)


def parse_query(text: str) -> Parsed:
    """A query (of a view, of EXPLAIN, in parentheses of COPY). Raises SqlSyntaxError."""
    return _parse_tree("query", "SELECT", text)


def parse_expression(text: str) -> Any:
    """The tree of one expression (CHECK, DEFAULT). Raises SqlSyntaxError."""
    parsed = _parse_tree("query", "SELECT", "SELECT " + text)
    select = parsed.tree
    if not isinstance(select, exp.Select) or len(select.expressions) != 1 or parsed.param_count:
        raise SqlSyntaxError("one expression expected")
    return select.expressions[0]


def _double_quotes(match: re.Match[str]) -> str:
    """In E'…' \\' is written '', which the tokenizer knows; places stay."""
    unit = match[0]
    if unit[0] not in "eE":
        return unit
    return re.sub(r"\\(.)", lambda m: "''" if m[1] == "'" else m[0], unit, flags=re.DOTALL)


def _torn(text: str) -> SqlSyntaxError | None:
    """What has a beginning and no end, if that is what is wrong."""
    for unit in _UNITS.finditer(text):
        if unit["torn"]:
            return SqlSyntaxError(f"unterminated {_TORN[unit[0]]}", position=unit.start() + 1)
    return None


def _parse_tree(kind: str, word: str, text: str) -> Parsed:
    check_shape(text)
    clean, hints = read_hints(text)
    if "\\'" in clean:
        clean = _ESCAPING.sub(_double_quotes, clean)
    parsed = Parsed(kind, text, word, hints=hints)
    try:
        tokens = _DIALECT.tokenize(clean)
    except TokenError as error:
        raise _torn(text) or SqlSyntaxError(f"syntax error: {str(error).splitlines()[0]}") from None
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    if _INT8.search(clean) is not None:
        tokens = [_eight_bytes(token) for token in tokens]
    tokens = _Rewriter(tokens, parsed).run()
    for one, after in itertools.pairwise(tokens):
        if one.token_type is TokenType.STRING is after.token_type:  # sqlglot would make them one
            raise SqlSyntaxError("a comma or || is missing between texts", position=after.start + 1)
    if any(t.token_type is TokenType.MERGE for t in tokens[:1]) or word == "WITH":
        tokens = merge_tokens(tokens)
    try:
        trees = _DIALECT.parser().parse(tokens, clean)
    except ParseError as error:
        raise _syntax_error(error, text) from None
    except RecursionError:
        raise refuse("a statement nested so deeply") from None
    except (TokenError, ValueError, IndexError, AttributeError) as error:
        raise SqlSyntaxError(f"the statement cannot be parsed: {str(error)[:100]}") from None
    if len(trees) != 1 or trees[0] is None or isinstance(trees[0], exp.Command):
        raise SqlSyntaxError("the statement cannot be parsed")
    parsed.tree = trees[0]
    if "$" in clean or parsed.param_count:
        _check_names(trees[0])
    if kind == "query":
        if isinstance(trees[0], exp.Insert | exp.Update | exp.Delete | exp.Merge):
            parsed.kind = type(trees[0]).__name__.lower()  # WITH … DELETE
        elif not isinstance(trees[0], exp.Query | exp.Values):
            raise SqlSyntaxError("a query is expected")
    return parsed


def _check_names(tree: Any) -> None:
    """Raises SqlSyntaxError for a literal or parameter that stands where only a name may.

    A text's literals are parameters by now: `SELECT 1 2` would name a column "$2".
    """
    for alias in tree.find_all(exp.Alias, exp.TableAlias):
        name = alias.args.get("alias") or alias.this
        if (
            isinstance(name, exp.Identifier)
            and not name.args.get("quoted")
            and _MARK.fullmatch(name.name)
        ):
            raise SqlSyntaxError("a literal or parameter stands where a name or a comma is wanted")


def _eight_bytes(token: Token) -> Token:
    """INT8 is PostgreSQL's name of BIGINT; sqlglot takes it for one of eight bits."""
    if token.token_type is not TokenType.TINYINT or token.text.upper() != "INT8":
        return token
    kind = TokenType.BIGINT
    return Token(kind, token.text, token.line, token.col, token.start, token.end, token.comments)


def _syntax_error(error: ParseError, text: str) -> SqlSyntaxError:
    detail = error.errors[0] if error.errors else {}
    line, column = detail.get("line") or 0, detail.get("col") or 0
    near = str(detail.get("highlight") or "").removeprefix(PREFIX)
    position = 0
    if line:
        starts = [0, *(m.end() for m in re.finditer("\n", text))]
        end = starts[min(line, len(starts)) - 1] + column
        position = max(end - len(near), 0) + 1
    message = f'syntax error at or near "{near}"' if near else "syntax error"
    return SqlSyntaxError(message, detail=str(detail.get("description") or ""), position=position)


class _Rewriter:
    """The pass over the tokens."""

    def __init__(self, tokens: list[Token], parsed: Parsed) -> None:
        self.tokens = tokens
        self.parsed = parsed
        self.out: list[Token] = []
        self.at = 0
        self.question_marks = 0
        self.returning = False

    def run(self) -> list[Token]:
        """The rewritten tokens."""
        if self.parsed.kind in ("delete", "update"):
            self._rewrite_dml_head()
        elif self.parsed.kind == "insert":
            self._rewrite_insert_head()
        while self.at < len(self.tokens):
            self._step()
        self.parsed.param_count = max(
            self.parsed.param_count, self.question_marks, len(self.parsed.param_names)
        )
        return self.out

    def _peek(self, ahead: int = 0) -> Token | None:
        index = self.at + ahead
        return self.tokens[index] if index < len(self.tokens) else None

    def _emit(self, kind: TokenType, text: str, like: Token) -> None:
        self.out.append(Token(kind, text, like.line, like.col, like.start, like.end, like.comments))

    def _emit_call(self, name: str, arguments: list[str], like: Token) -> None:
        self._emit(TokenType.VAR, PREFIX + name, like)
        self._emit(TokenType.L_PAREN, "(", like)
        for i, argument in enumerate(arguments):
            if i:
                self._emit(TokenType.COMMA, ",", like)
            self._emit(TokenType.STRING, argument, like)
        self._emit(TokenType.R_PAREN, ")", like)

    def _is(self, ahead: int, *words: str) -> bool:
        token = self._peek(ahead)
        return (
            token is not None
            and token.token_type not in (TokenType.STRING, TokenType.IDENTIFIER)
            and token.text.upper() in words
        )

    def _rewrite_dml_head(self) -> None:
        """DELETE [FIRST n] [FROM] t; UPDATE [FIRST n] t."""
        head = self.tokens[0]
        self.out.append(head)
        self.at = 1
        if self._is(0, "FIRST"):
            self.at = 2
            count = self._read_count()
            self.parsed.first = count
        if self._is(0, "("):
            raise refuse("a query as the target of a change")
        if self.parsed.kind == "delete" and not self._is(0, "FROM"):
            self._emit(TokenType.FROM, "FROM", head)

    def _rewrite_insert_head(self) -> None:
        """INSERT INTO t [AS alias] [DEFAULT VALUES]: what sqlglot does not read."""
        if not self._is(1, "INTO"):
            return
        if self._is(2, "(") or self._is(2, "SELECT"):
            raise refuse("INSERT into a query")
        at = 3
        while self._is(at, "."):
            at += 2
        if self._is(at, "AS") and at + 1 < len(self.tokens):
            token = self.tokens[at + 1]
            quoted = token.token_type is TokenType.IDENTIFIER
            self.parsed.alias = folded_quoted(token.text) if quoted else token.text.upper()
            del self.tokens[at : at + 2]
        if self._is(at, "DEFAULT") and self._is(at + 1, "VALUES"):
            self.parsed.default_values = True
            like = self.tokens[at]
            words = [(TokenType.VALUES, "VALUES"), (TokenType.L_PAREN, "(")]
            words += [(TokenType.NULL, "NULL"), (TokenType.R_PAREN, ")")]
            self.tokens[at : at + 2] = [
                Token(kind, text, like.line, like.col, like.start, like.end, [])
                for kind, text in words
            ]

    def _read_count(self) -> str:
        """A number or parameter at the current place."""
        token = self._peek()
        if token is None:
            raise SqlSyntaxError("a number is missing after FIRST or ROWS")
        if token.token_type is TokenType.NUMBER:
            self.at += 1
            return str(token.text)
        if self._parameter():
            return str(self.out.pop().text)
        raise SqlSyntaxError("a number is expected after FIRST or ROWS", position=token.start + 1)

    def _step(self) -> None:
        token = self.tokens[self.at]
        kind = token.token_type
        if kind in (TokenType.FROM, TokenType.ON, TokenType.INTO) and self._inside_call():
            return
        if kind is TokenType.SELECT:
            self._select_head(token)
        elif kind in (TokenType.PLACEHOLDER, TokenType.COLON) or token.text.startswith("$"):
            if not self._parameter():
                self.out.append(token)
                self.at += 1
        elif kind is TokenType.NUMBER:
            self._number(token)
        elif kind in (TokenType.STRING, TokenType.IDENTIFIER, TokenType.RAW_STRING):
            self.out.append(token)
            self.at += 1
        elif token.text[:1].isalpha():
            if self._is(0, "CURRENT") and self._is(1, "OF"):
                raise refuse("WHERE CURRENT OF", token.start + 1)
            self._word(token)
        elif kind is TokenType.TILDE and self.out and self.out[-1].token_type in _OPERANDS:
            self._emit(TokenType.RLIKE, "RLIKE", token)
            self.at += 1
        elif kind is TokenType.HASH:  # PostgreSQL's exclusive or: `??` binds like it
            self._emit(TokenType.DQMARK, "??", token)
            self.at += 1
        elif kind in _JSON_ARROWS and self._cast_key(token):
            return
        elif token.text == "@" and self._is(1, ">"):
            self._emit(TokenType.AT_GT, "@>", token)
            self.at += 2
        elif kind is TokenType.NOT and token.text == "!" and self._is(1, "~", "~*"):
            self._emit(TokenType.NOT, "NOT", token)
            match = TokenType.RLIKE if self._is(1, "~") else TokenType.IRLIKE
            self._emit(match, match.name, token)
            self.at += 2
        elif kind is TokenType.R_PAREN and self._interval_after():
            self._interval_of_parenthesis(token)
        else:
            self.out.append(token)
            self.at += 1

    def _inside_call(self) -> bool:
        """NTH_VALUE (…) FROM FIRST | LAST; LISTAGG (… ON OVERFLOW …); RETURNING … INTO :a."""
        if self._is(0, "FROM") and self._is(1, "FIRST", "LAST"):
            if not self._is(2, "OVER", "IGNORE", "RESPECT"):
                return False
            if self._is(1, "LAST"):
                self._rename_call("_LAST")
            self.at += 2
            return True
        if self._is(0, "ON") and self._is(1, "OVERFLOW"):  # no list is too long here
            depth = 0
            while self.at < len(self.tokens) and (depth or not self._is(0, ")")):
                depth += self._is(0, "(") - self._is(0, ")")
                self.at += 1
            return True
        if self._is(0, "INTO") and self.returning:  # output parameters: their values are a row
            while self.at < len(self.tokens) and not self._is(0, ";"):
                self.at += 1
            return True
        return False

    def _cast_key(self, arrow: Token) -> bool:
        """document -> key::type: the cast is of the key, sqlglot takes it for one of the whole."""
        if not (self._is(2, "::") and self._peek(3) is not None):
            return False
        self.out.append(arrow)
        self.at += 1
        self._emit(TokenType.L_PAREN, "(", arrow)
        if not self._parameter():
            self._copy(1)
        self._copy(2)  # :: and the type
        if self._is(0, "(") and self._is(2, ")"):
            self._copy(3)
        elif self._is(0, "[") and self._is(1, "]"):
            self._copy(2)
        self._emit(TokenType.R_PAREN, ")", arrow)
        return True

    def _copy(self, count: int) -> None:
        self.out += self.tokens[self.at : self.at + count]
        self.at += count

    def _is_cast_to_float(self) -> bool:
        """x::FLOAT, CAST (x AS FLOAT): a number as columns of that type are, not REAL."""
        kind = self.out[-1].token_type if self.out else None
        if kind is TokenType.DCOLON:
            return True
        if kind is not TokenType.ALIAS or not (self._is(1, ")") or self._is(1, "(")):
            return False
        depth = 0
        for at in range(len(self.out) - 1, 0, -1):
            kind = self.out[at].token_type
            depth += (kind is TokenType.R_PAREN) - (kind is TokenType.L_PAREN)
            if depth < 0:
                return str(self.out[at - 1].text).upper() == "CAST"
        return False

    def _rename_call(self, suffix: str) -> None:
        """The call that has just ended gets another name."""
        depth = 0
        for at in range(len(self.out) - 1, 0, -1):
            kind = self.out[at].token_type
            depth += (kind is TokenType.R_PAREN) - (kind is TokenType.L_PAREN)
            if depth == 0:
                token = self.out[at - 1]
                self.out[at - 1 :] = [
                    Token(token.token_type, token.text + suffix, token.line, token.col,
                          token.start, token.end, []),
                    *self.out[at:],
                ]  # fmt: skip
                return

    def _select_head(self, token: Token) -> None:
        """SELECT [FIRST n | ROWS m TO n] [ALL | DISTINCT] → SELECT [DISTINCT] TG_F_ROWS(m, n),"""
        self.out.append(token)
        self.at += 1
        following = self._peek(1)
        if following is None or not self._is(0, "FIRST", "ROWS"):
            return
        countable = following.token_type in (
            TokenType.NUMBER,
            TokenType.PLACEHOLDER,
            TokenType.COLON,
        ) or following.text.startswith("$")
        if not countable:
            return  # a column of that name
        is_first = self._is(0, "FIRST")
        self.at += 1
        low = "1" if is_first else self._read_count()
        if not is_first:
            if not self._is(0, "TO"):
                raise SqlSyntaxError("ROWS m TO n: TO is missing", position=token.start + 1)
            self.at += 1
        high = self._read_count()
        while self._is(0, "ALL", "DISTINCT", "UNIQUE"):
            if not self._is(0, "ALL"):
                self._emit(TokenType.DISTINCT, "DISTINCT", token)
            self.at += 1
        self._emit_call("ROWS", [low, high], token)
        self._emit(TokenType.COMMA, ",", token)

    def _parameter(self) -> bool:
        """`?`, `:name`, `:1`, `$1` at the current place → VAR $k."""
        token = self.tokens[self.at]
        if token.token_type is TokenType.PLACEHOLDER:
            self.question_marks += 1
            self._emit(TokenType.VAR, f"${self.question_marks}", token)
            self.at += 1
            return True
        if token.text.startswith("$") and token.text[1:].isdigit():
            number = int(token.text[1:])
            if not 1 <= number <= 65535:
                raise UnknownParameterError(
                    f"there is no parameter {token.text}", position=token.start + 1
                )
            self.parsed.param_count = max(self.parsed.param_count, number)
            self._emit(TokenType.VAR, token.text, token)
            self.at += 1
            return True
        if token.text.startswith("$") and token.token_type is TokenType.VAR:
            raise refuse("a string between dollar signs", token.start + 1)
        following = self._peek(1)
        if (
            token.token_type is TokenType.COLON
            and following is not None
            and following.start == token.end + 1
            and following.token_type not in (TokenType.STRING, TokenType.COLON)
        ):
            names = self.parsed.param_names
            index = names.setdefault(following.text.upper(), len(names) + 1)
            self._emit(TokenType.VAR, f"${index}", token)
            self.at += 2
            return True
        return False

    def _number(self, token: Token) -> None:
        following = self._peek(1)
        word = ""
        if (
            following is not None
            and following.token_type is TokenType.VAR
            and following.start == token.end + 1
        ):
            word = following.text
        if token.text == "0" and _HEX.fullmatch(word):
            self._emit_call("LITERAL_HEX", [word[1:]], token)
            self.at += 2
            return
        if word.lower() in ("d", "f"):
            name = "DOUBLE_LITERAL" if word.lower() == "d" else "FLOAT_LITERAL"
            self._emit_call(name, [token.text], token)
            self.at += 2
            return
        self.out.append(token)
        self.at += 1

    def _word(self, token: Token) -> None:
        word = token.text.upper()
        following = self._peek(1)
        self.returning = self.returning or word == "RETURNING"
        before = self.out[-1] if self.out else None
        after_dot = before is not None and before.token_type is TokenType.DOT
        if following is not None and following.token_type is TokenType.STRING and not after_dot:
            if self._literal(word, token, following):
                return
        elif word in NILADIC and self._niladic(word, token, after_dot=after_dot):
            return
        is_call = following is not None and following.token_type is TokenType.L_PAREN
        if is_call and self._scale(word):
            return
        if word == "FLOAT" and self._is_cast_to_float():
            self._emit(TokenType.DECIMAL, "NUMBER", token)
            self.at += 4 if is_call and self._is(3, ")") else 1
            return
        if is_call and word in JSON_CALLS_WITH_CLAUSES:
            rewrite_json_call(self.tokens, self.at)
        if word.startswith("SQL_TSI_") and not is_call and not after_dot:
            self._emit(TokenType.STRING, word, token)
        elif is_call and self._is_function(word, token, before):
            self._emit(TokenType.VAR, PREFIX + word, token)
        elif word == "UNIQUE" and before is not None and before.token_type is TokenType.SELECT:
            self._emit(TokenType.DISTINCT, "DISTINCT", token)
        elif word == "MINUS" and before is not None and self._is(1, "SELECT", "ALL"):
            self._emit(TokenType.EXCEPT, "EXCEPT", token)
        else:
            self.out.append(token)
        self.at += 1

    def _is_function(self, word: str, token: Token, before: Token | None) -> bool:
        if word in SYNTAX_CALLS or (
            word == "INSERT" and before is not None and before.text.upper() == "THEN"
        ):
            return False
        may_be = (
            token.token_type is TokenType.VAR
            or word in KEYWORD_CALLS
            or word in OTHER_CALLS
            or token.token_type.name.startswith("CURRENT")
        )
        if not may_be:
            return False
        if before is None:
            return False
        if word in ("FIRST", "NEXT") and before.token_type is TokenType.FETCH:
            return False  # FETCH FIRST (…) ROWS
        if before.token_type in _NO_CALL_AFTER:
            is_word = before.token_type is TokenType.VAR
            if not (is_word and before.text.upper() in WORDS_BEFORE_CALLS):
                return False
        return not self._is_cte_name()

    def _is_cte_name(self) -> bool:
        """name ( … ) AS ( : a common table expression with a column list."""
        depth, index = 0, self.at + 1
        while index < len(self.tokens):
            kind = self.tokens[index].token_type
            if kind is TokenType.L_PAREN:
                depth += 1
            elif kind is TokenType.R_PAREN:
                depth -= 1
                if depth == 0:
                    break
            index += 1
        ahead = self.tokens[index + 1 : index + 3]
        return (
            len(ahead) == 2
            and ahead[0].token_type is TokenType.ALIAS
            and ahead[1].token_type is TokenType.L_PAREN
        )

    def _literal(self, word: str, token: Token, string: Token) -> bool:
        """DATE '…', INTERVAL '…' DAY TO SECOND, E'…', X'…' → calls or plain strings."""
        adjacent = string.start == token.end + 1
        if word in DATE_LITERALS:
            self._emit_call("LITERAL_" + word, [string.text], token)
            self.at += 2
            return True
        if word == "E" and adjacent:
            self._emit(TokenType.STRING, unescaped(string.text), token)
            self.at += 2
            return True
        if word in ("X", "B") and adjacent:
            self._emit_call("LITERAL_HEX", [string.text], token)
            self.at += 2
            return True
        if word == "N" and adjacent:
            self._emit(TokenType.STRING, string.text, token)
            self.at += 2
            return True
        if word == "INTERVAL":
            self.at += 2
            units = self._interval_units()
            self._emit_call("LITERAL_INTERVAL", [string.text, units], token)
            return True
        return False

    def _interval_units(self) -> str:
        units: list[str] = []
        names = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")
        while self._is(0, *names) or (units and self._is(0, "TO")):
            token = self.tokens[self.at]
            units.append(token.text.upper())
            self.at += 1
            if self._is(0, "(") and units[-1] != "TO":
                while not self._is(0, ")"):
                    self.at += 1
                self.at += 1
        return " ".join(units)

    def _interval_after(self) -> bool:
        """( … ) DAY TO SECOND"""
        return (self._is(1, "DAY") and self._is(2, "TO") and self._is(3, "SECOND")) or (
            self._is(1, "YEAR") and self._is(2, "TO") and self._is(3, "MONTH")
        )

    def _interval_of_parenthesis(self, token: Token) -> None:
        """(a - b) DAY TO SECOND → TG_F_AS_DAYS(a - b)"""
        depth, at = 1, len(self.out)
        while depth and at:
            at -= 1
            kind = self.out[at].token_type
            depth += (kind is TokenType.R_PAREN) - (kind is TokenType.L_PAREN)
        name = "AS_SPAN" if self._is(1, "DAY") else "AS_MONTHS"
        head = Token(TokenType.VAR, PREFIX + name, token.line, token.col, token.start, token.end)
        self.out.insert(at, head)
        self.out.append(token)
        self.at += 4

    def _scale(self, word: str) -> bool:
        """NUMBER(p, -s): sqlglot reads no negative scale."""
        signed = self._is(1, "(") and self._is(3, ",") and self._is(4, "-") and self._is(6, ")")
        scale = self._peek(5)
        if word not in _SCALED_TYPES or not signed or scale is None or not scale.text.isdigit():
            return False
        self.out += self.tokens[self.at : self.at + 4]
        self._emit(TokenType.NUMBER, str(_NEGATIVE_SCALES + int(scale.text)), scale)
        self.at += 6
        return True

    def _niladic(self, word: str, token: Token, *, after_dot: bool) -> bool:
        following = self._peek(1)
        dotted = following is not None and following.token_type is TokenType.DOT
        before = self.out[-1].token_type if self.out else None
        if after_dot or dotted or before is TokenType.ALIAS:
            return False
        self.at += 1
        if following is not None and following.token_type is TokenType.L_PAREN:
            while self.at < len(self.tokens) and not self._is(0, ")"):
                self.at += 1
            self.at += 1
        self._emit_call(word, [], token)
        return True


_HEX = re.compile(r"[xX][0-9A-Fa-f]+")
_OPERANDS = frozenset(
    {
        TokenType.VAR,
        TokenType.STRING,
        TokenType.NUMBER,
        TokenType.IDENTIFIER,
        TokenType.R_PAREN,
        TokenType.R_BRACKET,
        TokenType.NULL,
    }
)
_JSON_ARROWS = frozenset(
    {TokenType.ARROW, TokenType.DARROW, TokenType.HASH_ARROW, TokenType.DHASH_ARROW}
)
_SCALED_TYPES = frozenset({"NUMBER", "NUMERIC", "DECIMAL", "DEC", "TT_DECIMAL"})
_NEGATIVE_SCALES = 1000  # what the token pass adds to a negative scale, which sqlglot cannot read


def negative_scale(number: int) -> int:
    """A type's argument as it was written."""
    return _NEGATIVE_SCALES - number if number > _NEGATIVE_SCALES and number < 1200 else number


def refuse(what: str, position: int = 0) -> NotSupportedError:
    """The error for something refused by name."""
    return NotSupportedError(f"{what} is not supported", position=position)
