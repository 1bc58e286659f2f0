"""Conditions on columns as text -> Arrow expressions. The text is parsed and translated, never run.

level == 1 and site in ("A", "B") and not (score < 0.5 or note is None)
"""

import ast
import operator
import re

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from tfcass.errors import SplitError
from tfcass.splits.naming import choices

_LONGEST = 10_000
_COMPARE = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FORMS = "==, !=, <, <=, >, >=, in (...), not in (...), is None, is not None, and, or, not"


def parse_filter(text: str) -> pc.Expression:
    """A condition in the form of Python's comparisons -> an expression on columns.

    Names are columns; values are numbers, texts in quotes, True and False. `is None` asks for a null; any other
    comparison with a null is not met.

    Raises:
      SplitError: It is something else; the message has the part that is not understood.
    """
    if len(text) > _LONGEST:
        raise SplitError(f"where has {len(text)} characters, more than {_LONGEST}; use include or exclude for lists")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _condition(tree.body, text)
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise SplitError(f"where={text!r} cannot be parsed: {reason}; conditions are {_FORMS}") from None
    except (RecursionError, MemoryError):
        raise SplitError("where is nested too deeply; use include or exclude for lists") from None


def filter_mask(table: pa.Table, where: pc.Expression | str) -> pa.ChunkedArray:
    """bool [n]: which rows meet `where`; null counts as not.

    Raises:
      SplitError: It is no condition on the columns of `table`.
    """
    expression = parse_filter(where) if isinstance(where, str) else where
    if not isinstance(expression, pc.Expression):
        raise SplitError(
            f"where={where!r} is a {type(where).__name__}; pass text such as 'level == 1', or a pyarrow expression "
            "such as pyarrow.compute.field('level') == 1"
        )
    told = where if isinstance(where, str) else str(where)
    try:
        met = ds.InMemoryDataset(table).scanner(columns={"met": expression}).to_table().column("met")
    except pa.ArrowInvalid as error:
        unknown = re.search(r"No match for FieldRef\.Name\((.*?)\)", str(error))
        if unknown is None:
            raise SplitError(f"where={told!r} does not fit the rows: {_first_line(error)}") from None
        raise SplitError(
            f"where={told!r} names {unknown[1]!r}, which is not a column {choices(unknown[1], table.column_names)}"
        ) from None
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise SplitError(
            f"where={told!r} compares a column with a value of another kind: {_first_line(error)}"
        ) from None
    if not pa.types.is_boolean(met.type):
        raise SplitError(f"where={told!r} gives values of type {met.type}; it must be true or false, as level == 1 is")
    return pc.fill_null(met, False)


def _condition(node: ast.expr, text: str) -> pc.Expression:
    if isinstance(node, ast.BoolOp):
        parts = [_condition(value, text) for value in node.values]
        combine = operator.and_ if isinstance(node.op, ast.And) else operator.or_
        result = parts[0]
        for part in parts[1:]:
            result = combine(result, part)
        return result
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_condition(node.operand, text)
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        parts = [
            _comparison(left, op, right, text) for left, op, right in zip(sides[:-1], node.ops, sides[1:], strict=True)
        ]
        result = parts[0]
        for part in parts[1:]:
            result = result & part
        return result
    if isinstance(node, ast.Name):  # A column of booleans.
        return pc.field(node.id)
    raise _not_understood(node, text)


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, text: str) -> pc.Expression:
    if type(op) in _COMPARE:
        if _is_null(left) or _is_null(right):
            raise SplitError(f"where={text!r}: a null equals nothing; ask `column is None` or `column is not None`")
        if not any(isinstance(side, ast.Name) for side in (left, right)):
            raise _not_understood(left, text)
        return _COMPARE[type(op)](_side(left, text), _side(right, text))
    column = _column(left, text)
    if isinstance(op, ast.Is | ast.IsNot) and _is_null(right):
        return column.is_null() if isinstance(op, ast.Is) else column.is_valid()
    if isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple | ast.Set):
        found = column.isin([_value(item, text) for item in right.elts])
        # As for every other comparison, a null is not met.
        return found if isinstance(op, ast.In) else ~found & column.is_valid()
    raise _not_understood(right, text)


def _side(node: ast.expr, text: str) -> pc.Expression:
    return _column(node, text) if isinstance(node, ast.Name) else pc.scalar(_value(node, text))


def _column(node: ast.expr, text: str) -> pc.Expression:
    if not isinstance(node, ast.Name):
        raise _not_understood(node, text)
    return pc.field(node.id)


def _value(node: ast.expr, text: str) -> object:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return -value
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        return node.value
    raise _not_understood(node, text)


def _is_null(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _not_understood(node: ast.expr, text: str) -> SplitError:
    part = ast.get_source_segment(text.strip(), node) or ast.unparse(node)
    return SplitError(
        f"where={text!r}: {part!r} is not understood; a condition compares a column with values: {_FORMS}"
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
