"""sqlglot expression → typed `Expr`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from data.sql import calls, quantified
from data.sql.aggregate_families import keep as keep_aggregate
from data.sql.aggregates import AGGREGATES, ORDERED_SETS, WINDOW_ONLY, Aggregate
from data.sql.bind_operators import OperatorBinding, is_pattern
from data.sql.date_functions import INTERVAL_PARTS
from data.sql.ir import (
    Call,
    ColumnExpr,
    ConstExpr,
    Expr,
    OrderItem,
    Query,
    SpecialExpr,
    SubqueryExpr,
    WindowExpr,
    walk,
)
from data.sql.operators import (
    all_of,
    any_of,
    arithmetic,
    call,
    cast,
    comparable,
    compare,
    concat,
    is_text,
    is_unknown,
    negate,
    null,
    number_const,
    settle,
    to_text,
    unify,
)
from data.sql.parse import PREFIX, refuse
from data.sql.plan_types import Special
from data.sql.retype import retype_query
from data.sql.scope import (
    Scope,
    Statement,
    folded,
    position_of,
    resolve_column,
    sequence_value,
)
from data.sql.type_codes import type_code
from data.sql.type_nodes import type_of_node
from protocol.errors import (
    GroupingError,
    SqlSyntaxError,
    TypeMismatchError,
    UnknownColumnError,
)
from protocol.sqltypes import (
    BIGINT,
    BOOLEAN,
    INTEGER,
    NUMBER,
    UNKNOWN,
    VARCHAR,
    Kind,
    SqlType,
)

_COMPARISONS = {"EQ": "=", "NEQ": "<>", "GT": ">", "GTE": ">=", "LT": "<", "LTE": "<="}
_ARITHMETIC = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}
DEPTH_MAX = 200


def conjuncts(node: Any) -> list[Any]:
    """The trees joined by AND."""
    parts: list[Any] = []
    stack = [node]
    while stack:
        top = stack.pop()
        if isinstance(top, exp.And):
            stack += [top.expression, top.this]
        elif isinstance(top, exp.Paren) and isinstance(top.this, exp.And | exp.Paren):
            stack.append(top.this)
        else:
            parts.append(top)
    return parts


class ExpressionBinder(OperatorBinding):
    """Binds the expressions of one query block."""

    def __init__(
        self, statement: Statement, scope: Scope, *, aggregates: bool = False, windows: bool = False
    ) -> None:
        self.statement = statement
        self.scope = scope
        self.allow_aggregates = aggregates
        self.allow_windows = windows
        self.allow_rownum = False  # SET of UPDATE
        self.depth = 0
        self.grouping: Callable[[Expr | None], Expr] | None = None

    # -- entry points ------------------------------------------------------------------------------
    def bind(self, node: Any) -> Expr:
        """Any expression. Raises the errors of SQL; NotSupportedError for what is not known."""
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise refuse(f"an expression nested deeper than {DEPTH_MAX}")
        try:
            return self._bind(node)
        finally:
            self.depth -= 1

    def condition(self, node: Any) -> Expr:
        """A condition."""
        expr = self.bind(node)
        if is_unknown(expr):
            return settle(expr, BOOLEAN)
        if is_text(expr):
            raise TypeMismatchError("a condition is expected", position=position_of(node))
        return expr

    def conditions(self, node: Any) -> list[Expr]:
        """The conjuncts of a condition; unknown is as good as false."""
        return [quantified.as_condition(self.condition(part)) for part in conjuncts(node)]

    def subquery(self, node: Any) -> Query:
        """A query inside this block; it may refer to this block's sources."""
        assert self.statement.bind_query is not None
        while isinstance(node, exp.Subquery) and not node.args.get("alias") and _is_bare(node):
            node = node.this
        return self.statement.bind_query(node, self.scope)

    def _bind(self, node: Any) -> Expr:
        name = type(node).__name__
        method = getattr(self, f"_{name.lower()}", None)
        if method is not None:
            result: Expr = method(node)
            return result
        if name in _COMPARISONS:
            return self._comparison(_COMPARISONS[name], node.this, node.expression)
        if name in _ARITHMETIC:
            return arithmetic(_ARITHMETIC[name], self.bind(node.this), self.bind(node.expression))
        if isinstance(node, exp.Query):
            return self._scalar(node)
        raise refuse(f"{name.upper()} in an expression", position_of(node))

    # -- leaves ------------------------------------------------------------------------------------
    def _literal(self, node: Any) -> Expr:
        if node.is_string:
            return ConstExpr(str(node.this) or None, UNKNOWN if node.this else VARCHAR)
        return number_const(str(node.this))

    def _rawstring(self, node: Any) -> Expr:
        return ConstExpr(str(node.this) or None, UNKNOWN)

    def _national(self, node: Any) -> Expr:
        return ConstExpr(str(node.this) or None, UNKNOWN)

    def _null(self, node: Any) -> Expr:
        return null()

    def _boolean(self, node: Any) -> Expr:
        return ConstExpr(int(bool(node.this)), BOOLEAN)

    def _paren(self, node: Any) -> Expr:
        return self.bind(node.this)

    def _column(self, node: Any) -> Expr:
        if isinstance(node.this, exp.Star):
            raise SqlSyntaxError("* is not allowed here", position=position_of(node))
        plain = not node.args.get("table") and not node.this.args.get("quoted")
        if plain and folded(node.this) == "ROWNUM" and not self.scope.find("ROWNUM"):
            return self._row_number(node)
        if plain and folded(node.this) == "ROWID" and not self.scope.find("ROWID"):
            raise refuse("ROWID (name the primary key)", position_of(node))
        try:
            return resolve_column(node, self.scope, self.statement)
        except UnknownColumnError:
            if plain and folded(node.this) == "UID":  # a column of that name comes first
                return self._function("UID", exp.Anonymous(this="UID"))
            raise

    def _row_number(self, node: Any) -> Expr:
        if not (self.allow_windows or self.allow_rownum):
            raise refuse("ROWNUM other than ROWNUM <= n here", position_of(node))
        function = Call("row_number()", (), BIGINT)
        return WindowExpr(function, (), tuple(self.scope.row_order), "")

    def _star(self, node: Any) -> Expr:
        raise SqlSyntaxError("* is not allowed here")

    def _dot(self, node: Any) -> Expr:
        raise refuse("a name of so many parts", position_of(node))

    def _placeholder(self, node: Any) -> Expr:
        raise SqlSyntaxError("a parameter is not understood")

    def _var(self, node: Any) -> Expr:
        return resolve_column(exp.column(exp.to_identifier(node.name)), self.scope, self.statement)

    # -- operators ---------------------------------------------------------------------------------
    def _comparison(self, op: str, left: Any, right: Any) -> Expr:
        left, right = _unparen(left), _quantifier(_unparen(right))
        for side in (left, right):
            if isinstance(side, exp.Tuple) and not side.expressions:
                raise SqlSyntaxError("an empty row is compared")
        if isinstance(right, exp.Any | exp.All):
            return self._quantified(op, left, right)
        if isinstance(left, exp.Tuple) or isinstance(right, exp.Tuple):
            return self._row_comparison(op, left, right)
        return compare(op, self.bind(left), self.bind(right))

    def _row_comparison(self, op: str, left: Any, right: Any) -> Expr:
        lefts = [self.bind(e) for e in left.expressions] if isinstance(left, exp.Tuple) else []
        if not isinstance(right, exp.Tuple):
            if op not in ("=", "<>"):
                raise refuse(f"comparing a row with a subquery by {op}")
            return self._in_query(lefts, right, negated=op == "<>")
        rights = [self.bind(e) for e in right.expressions]
        if len(lefts) != len(rights):
            raise SqlSyntaxError("rows of different length are compared")
        if op not in ("=", "<>"):
            return _rows_in_order(op, lefts, rights)
        parts = tuple(compare("=", a, b) for a, b in zip(lefts, rights, strict=True))
        text = " AND ".join(f"{{{i}}}" for i in range(len(parts)))
        return Call(f"({text})" if op == "=" else f"(NOT ({text}))", parts, BOOLEAN)

    def _quantified(self, op: str, left: Any, node: Any) -> Expr:
        inner = node.this
        is_all = isinstance(node, exp.All)
        inner = _unparen(inner) if isinstance(_unparen(inner), exp.Array) else inner
        if not isinstance(_unparen(inner), exp.Query) and not (
            isinstance(inner, exp.Array) and inner.expressions
        ):
            tested = self._array_test(op, left, inner, is_all=is_all)
            if tested is not None:
                return tested
        if isinstance(inner, exp.Tuple | exp.Paren | exp.Array):
            items = [inner.this] if isinstance(inner, exp.Paren) else inner.expressions
            value = self.bind(left)
            parts = tuple(compare(op, value, self.bind(i)) for i in items)
            return all_of(parts) if is_all else any_of(parts)
        if not isinstance(inner, exp.Query):
            raise refuse("ANY or ALL of an array", position_of(node))
        if op == "=" and not is_all:
            return self._in_query([self.bind(left)], inner, negated=False)
        if op == "<>" and is_all:
            return self._in_query([self.bind(left)], inner, negated=True)
        return quantified.of_rows(self, op, left, inner, is_all=is_all)

    def _dpipe(self, node: Any) -> Expr:
        return concat(self.bind(node.this), self.bind(node.expression))

    def _concat(self, node: Any) -> Expr:
        parts = [self.bind(e) for e in node.expressions]
        result = parts[0]
        for part in parts[1:]:
            result = concat(result, part)
        return result

    def _mod(self, node: Any) -> Expr:
        return calls.build_call("MOD", [self.bind(node.this), self.bind(node.expression)])

    def _neg(self, node: Any) -> Expr:
        return negate(self.bind(node.this))

    def _and(self, node: Any) -> Expr:
        return all_of([self.condition(p) for p in conjuncts(node)])

    def _or(self, node: Any) -> Expr:
        parts: list[Any] = []
        stack = [node]
        while stack:
            top = stack.pop()
            if isinstance(top, exp.Or):
                stack += [top.expression, top.this]
            else:
                parts.append(top)
        return any_of([self.condition(p) for p in parts])

    def _not(self, node: Any) -> Expr:
        inner = self.condition(_unparen(node.this))
        if isinstance(inner, SubqueryExpr) and inner.kind != "scalar":
            inner.negated = not inner.negated
            return inner
        return call("(NOT {0})", inner, type_=BOOLEAN)

    def _is(self, node: Any) -> Expr:
        right = node.expression
        negated = isinstance(right, exp.Not)
        if negated:
            right = right.this
        special = self._special_test(node.this, right)
        if special is not None:
            return call("(NOT {0})", special, type_=BOOLEAN) if negated else special
        value = settle(self.bind(node.this), VARCHAR)
        if isinstance(right, exp.Null):
            return call("({0} IS NULL)", value, type_=BOOLEAN)
        if isinstance(right, exp.Boolean):
            word = "TRUE" if right.this else "FALSE"
            return call(f"({{0}} IS {word})", value, type_=BOOLEAN)
        return compare("IS NOT" if negated else "IS", value, self.bind(right))

    def _nullsafeeq(self, node: Any) -> Expr:
        return compare("IS", self.bind(node.this), self.bind(node.expression))

    def _nullsafeneq(self, node: Any) -> Expr:
        return compare("IS NOT", self.bind(node.this), self.bind(node.expression))

    def _between(self, node: Any) -> Expr:
        value = self.bind(node.this)
        low = compare(">=", value, self.bind(node.args["low"]))
        high = compare("<=", value, self.bind(node.args["high"]))
        straight = call("({0} AND {1})", low, high, type_=BOOLEAN)
        if not node.args.get("symmetric"):
            return straight
        low = compare(">=", value, self.bind(node.args["high"]))
        high = compare("<=", value, self.bind(node.args["low"]))
        turned = call("({0} AND {1})", low, high, type_=BOOLEAN)
        return call("({0} OR {1})", straight, turned, type_=BOOLEAN)

    def _in(self, node: Any) -> Expr:
        left = _unparen(node.this)
        lefts = (
            [self.bind(e) for e in left.expressions]
            if isinstance(left, exp.Tuple)
            else [self.bind(left)]
        )
        if node.args.get("query") is not None:
            return self._in_query(lefts, node.args["query"], negated=False)
        items = node.expressions
        if not items:
            raise SqlSyntaxError("an empty IN list", position=position_of(node))
        if len(items) == 1 and isinstance(items[0], exp.Query):
            return self._in_query(lefts, items[0], negated=False)
        if isinstance(left, exp.Tuple):
            tests = [self._row_comparison("=", left, _unparen(i)) for i in items]
            return any_of(tests)
        return in_list(lefts[0], [self.bind(i) for i in items])

    def _in_query(self, lefts: list[Expr], node: Any, *, negated: bool) -> Expr:
        query = self.subquery(node)
        if len(query.items) != len(lefts):
            raise SqlSyntaxError("the subquery gives another number of columns")
        new_lefts: list[Expr] = []
        types: list[SqlType] = []
        for left, item in zip(lefts, query.items, strict=True):
            probe = call("{0}", item.expr, type_=item.expr.type)
            if is_unknown(item.expr):
                probe = item.expr  # type: ignore[assignment]
            a, b, _collate = comparable(left, probe)
            new_lefts.append(a)
            types.append(b.type)
        if any(
            (a.type.kind is Kind.NUMBER and not a.type.is_scaled) or a.key() != left.key()
            for a, left in zip(new_lefts, lefts, strict=True)
        ):
            typed = [unify([a, i.expr]) for a, i in zip(lefts, query.items, strict=True)]
            new_lefts = [t[0][0] for t in typed]
            types = [t[1] for t in typed]
        retype_query(query, types)
        return SubqueryExpr("in", query, BOOLEAN, tuple(new_lefts), negated=negated)

    def _like(self, node: Any, escape: Expr | None = None) -> Expr:
        left, right = to_text(self.bind(node.this)), to_text(self.bind(node.expression))
        word = "NOT LIKE" if node.args.get("negate") else "LIKE"
        if escape is None:
            return call(f"({{0}} {word} {{1}})", left, right, type_=BOOLEAN)
        return call(
            f"({{0}} {word} {{1}} ESCAPE {{2}})", left, right, to_text(escape), type_=BOOLEAN
        )

    def _ilike(self, node: Any, escape: Expr | None = None) -> Expr:
        left, right = to_text(self.bind(node.this)), to_text(self.bind(node.expression))
        word = "NOT LIKE" if node.args.get("negate") else "LIKE"
        text = f"(tg_lower({{0}}) {word} tg_lower({{1}})"
        if escape is None:
            return call(text + ")", left, right, type_=BOOLEAN)
        return call(text + " ESCAPE {2})", left, right, to_text(escape), type_=BOOLEAN)

    def _escape(self, node: Any) -> Expr:
        escape = self.bind(node.expression)
        like = _unparen(node.this)
        if isinstance(like, exp.Like):
            return self._like(like, escape)
        if isinstance(like, exp.ILike):
            return self._ilike(like, escape)
        raise refuse("ESCAPE here", position_of(node))

    # -- calls -------------------------------------------------------------------------------------
    def _case(self, node: Any) -> Expr:
        base = self.bind(node.this) if node.this is not None else None
        tests: list[Expr] = []
        results: list[Expr] = []
        for branch in node.args["ifs"]:
            if base is None:
                tests.append(self.condition(branch.this))
            else:
                tests.append(compare("=", base, self.bind(branch.this)))
            results.append(self.bind(branch.args["true"]))
        if node.args.get("default") is not None:
            results.append(self.bind(node.args["default"]))
        typed, type_ = unify(results)
        out: list[Expr] = []
        text = "CASE"
        for test, result in zip(tests, typed, strict=False):
            text += f" WHEN {{{len(out)}}} THEN {{{len(out) + 1}}}"
            out += [test, result]
        if len(typed) > len(tests):
            text += f" ELSE {{{len(out)}}}"
            out.append(typed[-1])
        return Call(text + " END", tuple(out), type_)

    def _cast(self, node: Any) -> Expr:
        return cast(self.bind(node.this), type_of_node(node.args["to"]))

    def _trycast(self, node: Any) -> Expr:
        return self._cast(node)

    def _extract(self, node: Any) -> Expr:
        return calls.extract(node.this.name, self.bind(node.expression))

    def _trim(self, node: Any) -> Expr:
        side = str(node.args.get("position") or "BOTH").upper()
        names = {"BOTH": "BTRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}
        args = [self.bind(node.this)]
        if node.expression is not None:
            args.append(self.bind(node.expression))
        return calls.build_call(names[side], args)

    def _substring(self, node: Any) -> Expr:
        args = [self.bind(node.this)]
        for part in ("start", "length"):
            if node.args.get(part) is not None:
                args.append(self.bind(node.args[part]))
        if len(args) == 1:
            raise SqlSyntaxError("SUBSTRING needs a start")
        if len(args) == 2 and is_pattern(args[1]):
            return calls.build_call("STRING_MATCH", args)
        return calls.build_call("SUBSTR", args)

    def _strposition(self, node: Any) -> Expr:
        return calls.build_call("INSTR", [self.bind(node.this), self.bind(node.args["substr"])])

    def _anonymous(self, node: Any) -> Expr:
        name = str(node.this).upper().removeprefix(PREFIX)
        return self._function(name, node)

    def _function(self, name: str, node: Any) -> Expr:
        arguments = list(node.expressions)
        if name in AGGREGATES:
            return self.aggregate(name, arguments)
        if name in WINDOW_ONLY:
            raise GroupingError(f"{name.lower()} needs an OVER clause", position=position_of(node))
        if name in ("NEXTVAL", "CURRVAL"):
            return self._pg_sequence(name, arguments)
        if name == "UID":
            user = self.statement.catalog.user(self.statement.session_user)
            return ConstExpr(user.id if user is not None else 0, INTEGER)
        if name == "ELEMENTIDCOMPUTE":
            return self._element_of(arguments)
        if name in ("GROUPING", "GROUPING_ID", "GROUP_ID"):
            return self._grouping(node, whole=name == "GROUP_ID")
        if any(isinstance(a, exp.Kwarg) for a in arguments):
            arguments = self._in_order(name, arguments)
        return calls.build_call(name, [self.bind(a) for a in arguments], position_of(node))

    @staticmethod
    def _in_order(name: str, arguments: list[Any]) -> list[Any]:
        """MAKE_INTERVAL (secs => 1): the only function whose arguments have names in SQL."""
        found: list[Any] = [exp.Literal.number(0)] * len(INTERVAL_PARTS)
        for at, argument in enumerate(arguments):
            named = isinstance(argument, exp.Kwarg)
            part = argument.this.name.lower() if named else INTERVAL_PARTS[at]
            if name != "MAKE_INTERVAL" or part not in INTERVAL_PARTS:
                raise refuse(f"{name.lower()} with {part} =>")
            found[INTERVAL_PARTS.index(part)] = argument.expression if named else argument
        return found

    def _grouping(self, node: Any, *, whole: bool = False) -> Expr:
        """GROUPING (a, b …), GROUPING_ID: a bit for each that is left out; GROUP_ID ()."""
        if self.grouping is None:
            raise GroupingError("GROUPING and GROUP_ID need GROUP BY")
        if whole:
            return self.grouping(None)
        inner = ExpressionBinder(self.statement, self.scope)
        marks = [self.grouping(settle(inner.bind(e), VARCHAR)) for e in node.expressions]
        if not marks:
            raise SqlSyntaxError("GROUPING needs an argument")
        result = marks[0]
        for mark in marks[1:]:
            result = call("({0} * 2 + {1})", result, mark, type_=BIGINT)
        return result

    def _pg_sequence(self, name: str, arguments: list[Any]) -> Expr:
        if len(arguments) != 1 or not isinstance(arguments[0], exp.Literal):
            raise refuse(f"{name} of an expression")
        text = str(arguments[0].this)
        parts = [p[1:-1] if p.startswith('"') else p.upper() for p in text.split(".")]
        return sequence_value(parts, name, self.statement)

    def _element_of(self, arguments: list[Any]) -> Expr:
        """ELEMENTIDCOMPUTE(key, …): an element of the replica set that key belongs to."""
        args = [settle(self.bind(a), NUMBER) for a in arguments]
        codes = ",".join(type_code(a.type) for a in args)
        elements = SpecialExpr(Special("element_map"), VARCHAR)
        marks = "".join(f", {{{i + 1}}}" for i in range(len(args)))
        text = f"tg_element_of({{0}}, '{codes}'{marks})"
        return Call(text, (elements, *args), SqlType(Kind.INTEGER))

    def aggregate(
        self,
        name: str,
        arguments: list[Any],
        *,
        filter_: Expr | None = None,
        order: tuple[OrderItem, ...] = (),
        inside_window: bool = False,
        keep: bool | None = None,
    ) -> Expr:
        """COUNT, SUM, …; `order`: WITHIN GROUP (ORDER BY …)."""
        if not self.allow_aggregates and not inside_window:
            raise GroupingError(f"aggregate {name.lower()} is not allowed here")
        distinct = star = False
        if arguments and isinstance(arguments[0], exp.Distinct):
            distinct, arguments = True, [*arguments[0].expressions, *arguments[1:]]
            if not arguments or isinstance(arguments[0], exp.Star):
                raise SqlSyntaxError(f"{name.lower()} (DISTINCT) of what?")
        if arguments and isinstance(arguments[-1], exp.Order):
            ordered = arguments[-1]
            arguments = [*arguments[:-1], ordered.this]
            order = self.order_items(ordered)
        if arguments and isinstance(arguments[0], exp.Star):
            star, arguments = True, []
        inner = ExpressionBinder(
            self.statement, self.scope, aggregates=inside_window and self.allow_aggregates
        )
        inner.depth = self.depth
        inner.grouping = self.grouping if inside_window else None
        args = [inner.bind(a) for a in arguments]
        columns = [e for a in args for e in walk(a) if isinstance(e, ColumnExpr)]
        if columns and all(c.source not in self.scope.sources for c in columns):
            raise refuse("an aggregate of columns of the query outside")
        if distinct and len(args) > 1 and name == "COUNT":
            raise refuse("COUNT (DISTINCT) of several columns")
        built = Aggregate(args, distinct=distinct, filter_=filter_, order=order, star=star)
        return built.build(name) if keep is None else keep_aggregate(name, built, first=keep)

    def _filter(self, node: Any) -> Expr:
        inner = ExpressionBinder(self.statement, self.scope)
        condition = inner.condition(node.expression.this)
        name = str(node.this.this).upper().removeprefix(PREFIX)
        if name not in AGGREGATES:
            raise refuse("FILTER here", position_of(node))
        return self.aggregate(name, list(node.this.expressions), filter_=condition)

    def _withingroup(self, node: Any) -> Expr:
        name = str(node.this.this).upper().removeprefix(PREFIX)
        if name not in AGGREGATES | ORDERED_SETS:
            raise refuse(f"{name} WITHIN GROUP", position_of(node))
        order = self.order_items(node.expression)
        return self.aggregate(name, list(node.this.expressions), order=order)

    def order_items(self, node: Any) -> tuple[OrderItem, ...]:
        """ORDER BY of an aggregate or window: plain expressions."""
        inner = ExpressionBinder(self.statement, self.scope, aggregates=self.allow_aggregates)
        return tuple(
            OrderItem(
                settle(inner.bind(o.this), VARCHAR),
                bool(o.args.get("desc")),
                bool(o.args.get("nulls_first")),
            )
            for o in node.expressions
        )

    def _window(self, node: Any) -> Expr:
        from data.sql.bind_window import bind_window

        return bind_window(self, node)

    # -- subqueries --------------------------------------------------------------------------------
    def _exists(self, node: Any) -> Expr:
        return SubqueryExpr("exists", self.subquery(node.this), BOOLEAN)

    def _subquery(self, node: Any) -> Expr:
        return self._scalar(node)

    def _scalar(self, node: Any) -> Expr:
        query = self.subquery(node)
        if len(query.items) != 1:
            raise SqlSyntaxError("a subquery used as a value must give one column")
        return SubqueryExpr("scalar", query, query.items[0].expr.type)


def in_list(left: Expr, items: list[Expr]) -> Expr:
    """left IN (items)."""
    pairs = [comparable(left, item) for item in items]
    first_key = pairs[0][0].key()
    if all(p[0].key() == first_key and not p[2] for p in pairs):
        marks = ", ".join(f"{{{i + 1}}}" for i in range(len(pairs)))
        return Call(f"({{0}} IN ({marks}))", (pairs[0][0], *(p[1] for p in pairs)), BOOLEAN)
    tests = [call(f"({{0}} = {{1}}{c})", a, b, type_=BOOLEAN) for a, b, c in pairs]
    return any_of(tests)


def _rows_in_order(op: str, lefts: list[Expr], rights: list[Expr]) -> Expr:
    """(a, b) < (c, d): the first pair that differs decides."""
    result = compare(op, lefts[-1], rights[-1])
    for left, right in reversed(list(zip(lefts[:-1], rights[:-1], strict=True))):
        ahead = compare(op.rstrip("="), left, right)
        same = compare("=", left, right)
        result = call("({0} OR ({1} AND {2}))", ahead, same, result, type_=BOOLEAN)
    return result


def _quantifier(node: Any) -> Any:
    """ANY (…), ALL (…) of a list as the node that ANY and ALL of a query are."""
    name = str(node.this).upper() if isinstance(node, exp.Anonymous) else ""
    if name in ("ANY", "SOME", "ALL") and node.expressions:
        return (exp.All if name == "ALL" else exp.Any)(this=exp.Tuple(expressions=node.expressions))
    return node


def _unparen(node: Any) -> Any:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _is_bare(node: Any) -> bool:
    """A pair of parentheses around a query without ORDER BY or LIMIT of its own."""
    return not any(node.args.get(k) for k in ("order", "limit", "offset", "with_", "joins"))
