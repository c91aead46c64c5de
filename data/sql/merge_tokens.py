"""MERGE as Oracle writes it → as sqlglot reads it, on the tokens. Pure.

UPDATE SET … WHERE c and INSERT … WHERE c become WHEN … AND (c) THEN; DELETE WHERE c becomes one
more assignment, of the name DELETE_MARK.
"""

from __future__ import annotations

from sqlglot.tokens import Token, TokenType

from protocol.errors import SqlSyntaxError

DELETE_MARK = "TG_DELETE"


def merge_tokens(tokens: list[Token]) -> list[Token]:
    """The tokens with the conditions where sqlglot looks for them. Raises SqlSyntaxError."""
    starts = [n for n, depth in enumerate(_depths(tokens)) if depth == 0 and _is_when(tokens, n)]
    if not starts:
        return tokens
    out = tokens[: starts[0]]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(tokens)
        out += _clause(tokens[start:end])
    return out


def _clause(tokens: list[Token]) -> list[Token]:
    depths = _depths(tokens)
    at = {
        word: [n for n, t in enumerate(tokens) if depths[n] == 0 and _word(t) == word]
        for word in ("THEN", "WHERE", "DELETE", "RETURNING")
    }
    then = next((n for n in at["THEN"]), None)
    if then is None:
        raise SqlSyntaxError("MERGE: THEN is missing", position=tokens[0].start + 1)
    end = next((n for n in at["RETURNING"] if n > then), len(tokens))
    wheres = [n for n in at["WHERE"] if n > then]
    delete = next((n for n in at["DELETE"] if n > then + 1), None)
    head, then_token = tokens[:then], tokens[then]
    body_end = min([*wheres[:1], *([delete] if delete is not None else []), end])
    body = tokens[then + 1 : body_end]
    first_end = delete if delete is not None else end
    if wheres and wheres[0] < first_end:
        head += _condition(tokens[wheres[0] + 1 : first_end], tokens[wheres[0]])
    if delete is not None:
        if len(wheres) == 0 or wheres[-1] != delete + 1:
            raise SqlSyntaxError(
                "MERGE: DELETE WHERE is expected", position=tokens[delete].start + 1
            )
        mark = tokens[delete]
        body += [
            _like(mark, TokenType.COMMA, ","),
            _like(mark, TokenType.VAR, DELETE_MARK),
            _like(mark, TokenType.EQ, "="),
            _like(mark, TokenType.L_PAREN, "("),
            *tokens[delete + 2 : end],
            _like(mark, TokenType.R_PAREN, ")"),
        ]
    return [*head, then_token, *body, *tokens[end:]]


def _condition(tokens: list[Token], where: Token) -> list[Token]:
    return [
        _like(where, TokenType.AND, "AND"),
        _like(where, TokenType.L_PAREN, "("),
        *tokens,
        _like(where, TokenType.R_PAREN, ")"),
    ]


def _depths(tokens: list[Token]) -> list[int]:
    """How many parentheses and CASEs are open at each token."""
    depths: list[int] = []
    depth = 0
    for token in tokens:
        if token.token_type is TokenType.R_PAREN or _word(token) == "END":
            depth -= 1
        depths.append(depth)
        if token.token_type is TokenType.L_PAREN or _word(token) == "CASE":
            depth += 1
    return depths


def _is_when(tokens: list[Token], at: int) -> bool:
    return _word(tokens[at]) == "WHEN" and any(
        _word(t) == "MATCHED" for t in tokens[at + 1 : at + 3]
    )


def _word(token: Token) -> str:
    if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER, TokenType.RAW_STRING):
        return ""
    return str(token.text).upper()


def _like(token: Token, kind: TokenType, text: str) -> Token:
    return Token(kind, text, token.line, token.col, token.start, token.end, [])
