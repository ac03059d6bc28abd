"""Single changes of a Python source that a test should notice, with their exact places.

Left out is what cannot be noticed by construction: docstrings, texts, annotations, `__all__`,
what an exception or a log message says, assertions, and the options of a dataclass.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
import io
import re
import tokenize

_OPERATORS = {
    '+': ('-',),
    '-': ('+',),
    '*': ('/',),
    '/': ('*',),
    '//': ('*',),
    '%': ('//',),
    '**': ('*',),
    '&': ('|',),
    '|': ('&',),
    '^': ('&',),
    '<<': ('>>',),
    '>>': ('<<',),
    'and': ('or',),
    'or': ('and',),
    '<': ('<=', '>'),
    '<=': ('<', '>='),
    '>': ('>=', '<'),
    '>=': ('>', '<='),
    '==': ('!=',),
    '!=': ('==',),
    'is': ('is not',),
    'is not': ('is',),
    'in': ('not in',),
    'not in': ('in',),
}
_SYMBOLS: dict[type[ast.AST], str] = {
    ast.Add: '+',
    ast.Sub: '-',
    ast.Mult: '*',
    ast.Div: '/',
    ast.FloorDiv: '//',
    ast.Mod: '%',
    ast.Pow: '**',
    ast.BitAnd: '&',
    ast.BitOr: '|',
    ast.BitXor: '^',
    ast.LShift: '<<',
    ast.RShift: '>>',
    ast.And: 'and',
    ast.Or: 'or',
    ast.Lt: '<',
    ast.LtE: '<=',
    ast.Gt: '>',
    ast.GtE: '>=',
    ast.Eq: '==',
    ast.NotEq: '!=',
    ast.Is: 'is',
    ast.IsNot: 'is not',
    ast.In: 'in',
    ast.NotIn: 'not in',
}
_UNARY: dict[type[ast.AST], str] = {ast.Not: 'not', ast.USub: '-', ast.Invert: '~'}
_PAIRS = (
    ('min', 'max'),
    ('minimum', 'maximum'),
    ('fmin', 'fmax'),
    ('nanmin', 'nanmax'),
    ('argmin', 'argmax'),
    ('any', 'all'),
    ('floor', 'ceil'),
    ('sin', 'cos'),
    ('zeros', 'ones'),
    ('zeros_like', 'ones_like'),
)
_CALLS = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_LOGGING = frozenset({'debug', 'info', 'warn', 'warning', 'error', 'exception', 'critical'})
_SMALL = 256
"""Whole numbers up to this are changed by one, larger ones by a factor of two."""

Edit = tuple[int, int, tuple[str, ...]]
"""Start and end in the source, and what may stand there instead."""


@dataclass(frozen=True)
class Change:
    """One piece of a source replaced by another."""

    file: str
    """Path in the project, with slashes."""
    line: int
    """From 1."""
    text: str
    """The source line, without the white space around it."""
    before: str
    after: str
    occurrence: int
    """From 1: which of the equal changes of this line it is."""
    start: int
    """Where the piece begins in the source, in characters."""
    end: int
    first_line: int
    """The statement around it, whose lines a test has to run."""
    last_line: int

    @property
    def name(self) -> str:
        """Say what is changed: `/ -> *`, with a number where the line has several."""
        number = f' #{self.occurrence}' if self.occurrence > 1 else ''
        return ' '.join(f'{self.before} -> {self.after or "nothing"}{number}'.split())

    def apply(self, source: str) -> str:
        """Return the source with the change."""
        return source[: self.start] + self.after + source[self.end :]


def changes_of(source: str, file: str) -> list[list[Change]]:
    """Return the changes of a source: for every place, in order, all that may be done there.

    Raises:
        SyntaxError: the source is no Python.
    """
    places = _Places(source)
    places.visit(ast.parse(source))
    lines = source.splitlines()
    seen: dict[tuple[int, str, str], int] = {}
    found = []
    for (start, end, others), (first, last) in sorted(places.edits.items()):
        line = source.count('\n', 0, start) + 1
        group = []
        for after in others:
            key = (line, source[start:end], after)
            seen[key] = seen.get(key, 0) + 1
            text = lines[line - 1].strip()
            group.append(Change(file, line, text, *key[1:], seen[key], start, end, first, last))
        found.append(group)
    return found


class _Places(ast.NodeVisitor):
    """Collects the edits of a source."""

    def __init__(self, source: str) -> None:
        self.edits: dict[Edit, tuple[int, int]] = {}
        self._source = source
        self._lines = source.splitlines(keepends=True)
        self._offsets = [0]
        for line in self._lines:
            self._offsets.append(self._offsets[-1] + len(line))
        self._tokens = list(self._read_tokens())
        self._statement = (1, 1)

    def _read_tokens(self) -> Iterator[tuple[int, int, str]]:
        for token in tokenize.generate_tokens(io.StringIO(self._source).readline):
            if token.type in (tokenize.OP, tokenize.NAME):
                start = self._offsets[token.start[0] - 1] + token.start[1]
                yield start, start + len(token.string), token.string

    def _offset(self, line: int, column: int) -> int:
        """Return the place in characters; the column counts bytes, as ast does."""
        before = self._lines[line - 1].encode()[:column].decode()
        return self._offsets[line - 1] + len(before)

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        last, column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self._offset(node.lineno, node.col_offset), self._offset(last, column)

    def _add(self, start: int, end: int, *others: str) -> None:
        self.edits[start, end, others] = self._statement

    def _between(self, left: ast.expr, operator: ast.AST, right: ast.expr) -> None:
        """Change the operator that stands between two operands."""
        symbol = _SYMBOLS.get(type(operator))
        if symbol is None:
            return
        start, end = self._span(left)[1], self._span(right)[0]
        words = symbol.split()
        inside = [token for token in self._tokens if start <= token[0] and token[1] <= end]
        for i, token in enumerate(inside):
            if [word for _, _, word in inside[i : i + len(words)]] == words:
                last = inside[i + len(words) - 1]
                self._add(token[0], last[1], *_OPERATORS[symbol])
                return

    def _negate(self, condition: ast.expr) -> None:
        """Negate a condition, unless another change of it does the same."""
        if isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not):
            return
        operators = condition.ops if isinstance(condition, ast.Compare) else []
        if len(operators) == 1 and len(_OPERATORS[_SYMBOLS[type(operators[0])]]) == 1:
            return
        start, end = self._span(condition)
        self._add(start, end, f'(not ({self._source[start:end]}))')

    def _plus_one(self, node: ast.expr) -> None:
        if not isinstance(node, ast.Constant):
            start, end = self._span(node)
            self._add(start, end, f'({self._source[start:end]} + 1)')

    # What is not changed.

    def visit(self, node: ast.AST) -> None:
        """Visit a node; remember the lines of its statement."""
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        if not isinstance(node, ast.stmt):
            super().visit(node)
            return
        around = self._statement
        body = getattr(node, 'body', None)
        last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
        self._statement = (node.lineno, max(last, node.lineno))
        super().visit(node)
        self._statement = around

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Leave the annotation out."""
        if node.value is not None:
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Leave `__all__` and its like out."""
        target = node.targets[0]
        if not (isinstance(target, ast.Name) and re.fullmatch('__.*__', target.id)):
            self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        """Leave the annotation out."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Leave the annotation of the result and the decorators out."""
        for part in (node.args, *node.body):
            self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Leave bases and decorators out."""
        for part in node.body:
            self.visit(part)

    # What is changed.

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Swap the operator."""
        self._between(node.left, node.op, node.right)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Swap the operator of an assignment."""
        start, end = self._span(node.target)[1], self._span(node.value)[0]
        symbol = _SYMBOLS.get(type(node.op))
        if symbol is not None:
            at = self._source.index(f'{symbol}=', start, end)
            self._add(at, at + len(symbol), *_OPERATORS[symbol])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Swap every `and` and `or` of a row."""
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, node.op, right)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Turn a comparison, or move its bound."""
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            self._between(left, operator, right)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Remove a `not`, a minus or a `~`."""
        word = _UNARY.get(type(node.op))
        if word is not None:
            start = self._span(node)[0]
            self._add(start, start + len(word), '')
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Change a number or a truth value."""
        value, others = node.value, []
        if isinstance(value, bool):
            others = [str(not value)]
        elif isinstance(value, int) and value <= _SMALL:
            others = [str(value + 1)] + ([str(value - 1)] if value else [])
        elif isinstance(value, int):
            others = [str(value * 2), str(value // 2)]
        elif isinstance(value, float):
            others = [repr(value * 2), repr(value / 2)] if value else ['1.0']
        if others:
            self._add(*self._span(node), *others)

    def visit_If(self, node: ast.If) -> None:
        """Negate the condition."""
        if not (isinstance(node.test, ast.Name) and node.test.id == 'TYPE_CHECKING'):
            self._negate(node.test)
            self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """Negate the condition."""
        self._negate(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Negate the condition."""
        self._negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Negate the conditions."""
        for condition in node.ifs:
            self._negate(condition)
        self.generic_visit(node)

    def visit_Slice(self, node: ast.Slice) -> None:
        """Move a bound by one."""
        for bound in (node.lower, node.upper):
            if bound is not None:
                self._plus_one(bound)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Swap min and max and their like, count one further; leave what is logged out."""
        function = node.func
        name = getattr(function, 'id', getattr(function, 'attr', ''))
        if isinstance(function, ast.Attribute) and name in _LOGGING:
            return
        if name in _CALLS:
            end = self._span(function)[1]
            self._add(end - len(name), end, _CALLS[name])
        if name == 'len':
            self._plus_one(node)
        elif name == 'range':
            for argument in node.args:
                self._plus_one(argument)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """Leave `strict` of zip out: a guard that right input never meets."""
        if node.arg != 'strict':
            self.generic_visit(node)
