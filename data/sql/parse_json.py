"""The clauses inside calls of JSON functions, as plain arguments: part of the pass over tokens.

JSON_OBJECT(KEY 'a' VALUE 1, 'b' : 2 NULL ON NULL) → JSON_OBJECT('a', 1, 'b', 2)
JSON_VALUE(d, '$.a' RETURNING NUMBER NULL ON ERROR) → JSON_VALUE(d, '$.a', 'RETURNING NUMBER')
"""

from __future__ import annotations

from sqlglot.tokens import Token, TokenType

from protocol.errors import NotSupportedError

JSON_CALLS_WITH_CLAUSES = frozenset(
    {"JSON_OBJECT", "JSON_ARRAY", "JSON_VALUE", "JSON_QUERY", "JSON_EXISTS", "JSON_ARRAYAGG",
     "JSON_OBJECTAGG"}
)  # fmt: skip
_MAKERS = frozenset({"JSON_OBJECT", "JSON_ARRAY", "JSON_ARRAYAGG", "JSON_OBJECTAGG"})
_STARTS = frozenset(
    {"RETURNING", "ERROR", "NULL", "DEFAULT", "EMPTY", "WITH", "WITHOUT", "TRUE", "FALSE", "ABSENT",
     "STRICT", "PASSING"}
)  # fmt: skip


def rewrite_json_call(tokens: list[Token], at: int) -> None:
    """Change the call whose name stands at `at` in place. Raises NotSupportedError."""
    name = tokens[at].text.upper()
    end = _closing(tokens, at + 1)
    if end is None:
        return
    out: list[Token] = []
    depth = 0
    place = at + 2
    while place < end:
        token = tokens[place]
        kind, word = token.token_type, token.text.upper()
        depth += (kind is TokenType.L_PAREN) - (kind is TokenType.R_PAREN)
        is_word = kind not in (TokenType.STRING, TokenType.IDENTIFIER)
        if depth == 0 and is_word:
            if name in _MAKERS and (word == "VALUE" or kind is TokenType.COLON):
                out.append(_comma(token))
                place += 1
                continue
            if name in _MAKERS and word == "KEY":
                place += 1
                continue
            if _is_clause(tokens, place, end, out):
                clause = " ".join(t.text.upper() for t in tokens[place:end])
                out += _clause_tokens(name, clause, token)
                break
        out.append(token)
        place += 1
    tokens[at + 2 : end] = out


def _closing(tokens: list[Token], at: int) -> int | None:
    depth = 0
    for place in range(at, len(tokens)):
        kind = tokens[place].token_type
        depth += (kind is TokenType.L_PAREN) - (kind is TokenType.R_PAREN)
        if depth == 0:
            return place
    return None


def _is_clause(tokens: list[Token], place: int, end: int, out: list[Token]) -> bool:
    """Does a clause start here? A word after an operand, without a comma."""
    if tokens[place].text.upper() not in _STARTS:
        return False
    if out and out[-1].token_type not in (TokenType.COMMA, TokenType.L_PAREN):
        return True
    following = [t.text.upper() for t in tokens[place + 1 : min(place + 3, end)]]
    return following[:2] == ["ON", "NULL"]


def _comma(like: Token) -> Token:
    return Token(TokenType.COMMA, ",", like.line, like.col, like.start, like.end)


def _clause_tokens(name: str, clause: str, like: Token) -> list[Token]:
    if name in _MAKERS:
        if "ABSENT ON NULL" in clause:
            raise NotSupportedError(f"ABSENT ON NULL in {name} is not supported")
        return []
    if "ERROR ON" in clause or "DEFAULT" in clause or "PASSING" in clause:
        raise NotSupportedError(f"{clause.split(' ON ')[0]} in {name} is not supported")
    text = Token(TokenType.STRING, clause, like.line, like.col, like.start, like.end)
    return [_comma(like), text]
