"""Everything in a Python module that decides something, changed one at a time.

What is changed, in constructs and in rules alike:

* a keyword argument that may be left out is left out; one that must be there, but may be None, is not passed on to
  the base class;
* ``True`` and ``False`` are exchanged, a number gets one more, an enum's member becomes another;
* a refusal (``if ...: raise``) never happens; any other condition says the opposite, or loses an operand of its
  ``and`` or ``or``; ``<`` and ``<=`` are exchanged; ``any`` and ``all``; a condition of a comprehension is dropped;
* a call that is a statement of its own (a check, a grant, a dependency, an override) is left out, so is what is
  assigned to somebody else's attribute or to an item of a dict, and what is yielded;
* lists, sets, dicts and tuples of alternatives lose an item;
* what AWS reads literally (principals, namespaces, names of metrics, resource types) gets another letter.

What is not: texts for people (descriptions, messages, construct ids, the dashboard's layout); answers to scanners,
which tests/packs holds; types, and guards for the type checker (``raise TypeError``); arguments without which a call
crashes; what is handed to f-strings; indices; and what would say the same as another change to the same line.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator, Sequence
from typing import Final

from tools.call_targets import CallTargets
from tools.mutant import Mutant, Text, excerpt

# Arguments that people read, and nobody else.
_FOR_PEOPLE: Final = frozenset(
    {
        *("alarm_description", "cost", "derived_from", "description", "first", "scale", "what"),
        *("height", "id", "markdown", "sid", "title", "width"),
    }
)
_AWS_READS: Final = re.compile(
    r"[a-z0-9.-]+\.amazonaws\.com|AWS/\w+|AWS::\w+::\w+|(aws|iam|iot|kms|kinesis|s3|sns|sqs|sts):[A-Za-z:*]+"
)
_METRIC: Final = re.compile(r"[A-Z]\w+(\.\w+)?")
_BOUNDARY: Final = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_OPPOSITE: Final = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_FINDING: Final = re.compile(
    r"CKV_AWS_\d+|(AwsSolutions|HIPAA\.Security|NIST\.800\.53\.R5|PCI\.DSS\.321|Serverless)-\w+"
)
_DISPLAYS = (ast.List, ast.Set, ast.Tuple)
_NOT_OURS: Final = frozenset({"__all__", "_MODULES"})


def mutate_python(file: str, source: str, targets: CallTargets) -> Iterator[Mutant]:
    """Every change to one module, in the order of the source."""
    found = list(_Walk(file, source, targets).mutants())
    yield from sorted(found, key=lambda it: (it.start, it.end, it.change))


class _Walk:
    """One module, with the way up from each node."""

    def __init__(self, file: str, source: str, targets: CallTargets) -> None:
        self._file = file
        self._text = Text(source)
        self._tree = ast.parse(source)
        self._targets = targets
        self._parents: dict[ast.AST, ast.AST] = {}
        for parent in ast.walk(self._tree):
            for child in ast.iter_child_nodes(parent):
                self._parents[child] = parent

    def mutants(self) -> Iterator[Mutant]:
        for node in self._nodes(self._tree):
            match node:
                case ast.Call():
                    yield from self._call(node)
                case ast.Constant():
                    yield from self._constant(node)
                case ast.Attribute():
                    yield from self._member(node)
                case ast.If() | ast.IfExp() | ast.comprehension():
                    yield from self._condition(node)
                case ast.BoolOp() | ast.Compare() | ast.UnaryOp():
                    yield from self._operator(node)
                case ast.Expr() | ast.AugAssign() | ast.Assign():
                    yield from self._statement(node)
                case ast.List() | ast.Set() | ast.Tuple() | ast.Dict():
                    yield from self._items(node)

    def _nodes(self, node: ast.AST) -> Iterator[ast.AST]:
        """Everything below ``node`` that may be changed."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)):
                continue
            if isinstance(child, ast.keyword) and child.arg in _FOR_PEOPLE:
                continue
            if _is_annotation(child, node) or _is_not_ours(child) or _answers_scanners(child):
                continue
            yield child
            yield from self._nodes(child)

    # --- what is changed --------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Iterator[Mutant]:
        name = self._excerpt(node.func)
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in _FOR_PEOPLE or _is_none(keyword.value):
                continue
            if self._targets.may_leave_out(node, keyword.arg, self._class_of(node)):
                fewer = copy.copy(node)
                fewer.keywords = [it for it in node.keywords if it is not keyword]
                yield self._edit(node, ast.unparse(fewer), f"{name}({keyword.arg}=...) left out")
            elif self._targets.may_be_none(node, keyword.arg, self._class_of(node)):
                change = f"{name}({keyword.arg}=...) is None"
                yield self._edit(keyword.value, "None", change)
        if isinstance(node.func, ast.Name) and node.func.id in ("any", "all"):
            other = "all" if node.func.id == "any" else "any"
            yield self._edit(node.func, other, f"{node.func.id} -> {other}: {self._excerpt(node)}")

    def _constant(self, node: ast.Constant) -> Iterator[Mutant]:
        value, parent = node.value, self._parents[node]
        if isinstance(parent, (ast.Expr, ast.Slice)) or self._is_index(node):
            return
        if isinstance(value, bool):
            yield self._edit(node, repr(not value), f"{self._where(node)}: {value} -> {not value}")
        elif isinstance(value, (int, float)):
            other = value + 1 if isinstance(value, int) else value * 1.5
            yield self._edit(node, repr(other), f"{self._where(node)}: {value} -> {other}")
        elif isinstance(value, str) and self._aws_reads(node, value):
            yield self._edit(node, repr(f"{value}x"), f"{self._where(node)}: {value}x")

    def _aws_reads(self, node: ast.Constant, value: str) -> bool:
        parent = self._parents[node]
        if isinstance(parent, (*_DISPLAYS, ast.Dict)):
            return False  # loses items
        if isinstance(parent, ast.Call) and "metric" in ast.unparse(parent.func):
            return _METRIC.fullmatch(value) is not None
        if isinstance(parent, ast.keyword) and parent.arg == "metric_name":
            return True
        return _AWS_READS.fullmatch(value) is not None

    def _member(self, node: ast.Attribute) -> Iterator[Mutant]:
        other = self._targets.other_member(node) if node.attr.isupper() else None
        if other is not None:
            changed = f"{ast.unparse(node.value)}.{other}"
            yield self._edit(node, changed, f"{self._excerpt(node)} -> {other}")

    def _condition(self, node: ast.If | ast.IfExp | ast.comprehension) -> Iterator[Mutant]:
        if isinstance(node, ast.comprehension):
            for test in node.ifs:
                if not isinstance(test, ast.BoolOp):
                    yield self._edit(test, "True", f"dropped: if {self._excerpt(test)}")
            return
        test = node.test
        if isinstance(node, ast.If) and isinstance(node.body[0], ast.Raise):
            if "TypeError" not in ast.unparse(node.body[0]):
                yield self._edit(test, "False", f"never refused: {self._excerpt(test)}")
        elif not isinstance(test, ast.BoolOp):
            yield self._edit(
                test, f"not ({self._text.of(test)})", f"negated: {self._excerpt(test)}"
            )

    def _operator(self, node: ast.BoolOp | ast.Compare | ast.UnaryOp) -> Iterator[Mutant]:
        if isinstance(node, ast.BoolOp):
            yield from self._operands(node)
        elif isinstance(node, ast.Compare):
            yield from self._comparison(node)
        elif isinstance(node.op, ast.Not) and not self._is_negated_anyway(node):
            operand = ast.unparse(node.operand)
            yield self._edit(node, f"bool({operand})", f"not dropped: {self._excerpt(node)}")

    def _operands(self, node: ast.BoolOp) -> Iterator[Mutant]:
        for operand in node.values:
            rest = [it for it in node.values if it is not operand]
            fewer = rest[0] if len(rest) == 1 else ast.BoolOp(op=node.op, values=rest)
            word = "and" if isinstance(node.op, ast.And) else "or"
            yield self._edit(
                node, f"({ast.unparse(fewer)})", f"dropped of {word}: {self._excerpt(operand)}"
            )

    def _comparison(self, node: ast.Compare) -> Iterator[Mutant]:
        for index, operator in enumerate(node.ops):
            other = _BOUNDARY.get(type(operator))
            if other is None and not self._is_negated_anyway(node):
                other = _OPPOSITE.get(type(operator))
            if other is not None:
                changed = copy.copy(node)
                changed.ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
                written = ast.unparse(changed)
                yield self._edit(
                    node, f"({written})", f"{self._excerpt(node)} -> {excerpt(written)}"
                )

    def _is_negated_anyway(self, node: ast.expr) -> bool:
        """Whether the opposite is another mutant's, or as good as the operand's absence."""
        parent = self._parents[node]
        if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
            return True
        if isinstance(parent, (ast.If, ast.IfExp)):
            return parent.test is node
        return isinstance(parent, (ast.BoolOp, ast.comprehension))

    def _is_index(self, node: ast.expr) -> bool:
        parent = self._parents[node]
        if isinstance(parent, ast.UnaryOp):
            return self._is_index(parent)
        return isinstance(parent, ast.Subscript) and parent.slice is node

    def _statement(self, node: ast.Expr | ast.AugAssign | ast.Assign) -> Iterator[Mutant]:
        if isinstance(node, ast.Expr) and isinstance(node.value, (ast.Yield, ast.YieldFrom)):
            yield self._edit(node, "yield from ()", f"left out: {self._excerpt(node)}")
        elif isinstance(node, ast.Expr):
            if isinstance(node.value, ast.Call) and not self._excerpt(node).startswith("super()"):
                yield self._edit(node, "pass", f"left out: {self._excerpt(node)}")
        elif isinstance(node, ast.AugAssign) or _is_elsewhere(node.targets[0]):
            yield self._edit(node, "pass", f"left out: {self._excerpt(node)}")

    def _items(self, node: ast.List | ast.Set | ast.Tuple | ast.Dict) -> Iterator[Mutant]:
        if isinstance(node, ast.Tuple) and not self._is_of_alternatives(node):
            return
        if isinstance(getattr(node, "ctx", None), ast.Store):
            return
        parent = self._parents[node]
        if isinstance(parent, ast.keyword) and len(_keys_or_items(node)) == 1:
            return  # the argument is left out already
        for index, item in enumerate(_keys_or_items(node)):
            if item is None:
                continue  # **others
            fewer = copy.copy(node)
            if isinstance(fewer, ast.Dict):
                fewer.keys = [*fewer.keys[:index], *fewer.keys[index + 1 :]]
                fewer.values = [*fewer.values[:index], *fewer.values[index + 1 :]]
            else:
                fewer.elts = [*fewer.elts[:index], *fewer.elts[index + 1 :]]
            written = ast.unparse(fewer)
            if isinstance(node, ast.Set) and not fewer.elts:  # type: ignore[union-attr] # a set
                written = "set()"
            yield self._edit(node, written, f"{self._where(node)}: without {self._excerpt(item)}")

    def _is_of_alternatives(self, node: ast.Tuple) -> bool:
        """Whether a tuple can be shorter: one to unpack, or of a record's fields, cannot."""
        if len({type(item) for item in node.elts}) != 1:
            return False
        parent = self._parents[node]
        if isinstance(parent, ast.arguments):
            return all(isinstance(item, ast.Constant) for item in node.elts)
        if isinstance(parent, (ast.Assign, ast.AnnAssign)):
            return isinstance(node.elts[0], (ast.Constant, ast.Tuple))
        return isinstance(parent, (ast.Call, ast.keyword, ast.Compare)) or (
            isinstance(parent, ast.For) and parent.iter is node
        )

    # --- how it is reported -----------------------------------------------------------------------

    def _edit(self, node: ast.expr | ast.stmt, replacement: str, change: str) -> Mutant:
        start, end = self._text.span(node)
        return Mutant(self._file, self._place(node), change, start, end, replacement)

    def _excerpt(self, node: ast.AST) -> str:
        return excerpt(ast.unparse(node))

    def _where(self, node: ast.expr) -> str:
        """What a value is part of: ``Function(memory_size=...)``, a call, or the expression around it."""
        parent = self._parents[node]
        if isinstance(parent, ast.keyword):
            call = self._parents[parent]
            callee = self._excerpt(call.func) if isinstance(call, ast.Call) else ""
            return f"{callee}({parent.arg}=...)"
        if isinstance(parent, ast.Call):
            first = f"{ast.unparse(parent.args[0])}, " if parent.args[0] is not node else ""
            return f"{self._excerpt(parent.func)}({first}...)"
        if isinstance(parent, ast.Dict):
            keys = dict(zip(map(id, parent.values), parent.keys, strict=True))
            key = keys.get(id(node))
            return f"{self._excerpt(key)}: ..." if key is not None else self._excerpt(parent)
        if isinstance(parent, ast.arguments):
            return "an argument's default"
        if isinstance(parent, ast.For):
            return f"for {self._excerpt(parent.target)}"
        return self._excerpt(parent)

    def _place(self, node: ast.AST) -> str:
        names: list[str] = []
        above: ast.AST | None = node
        while above is not None:
            if isinstance(above, (ast.FunctionDef, ast.ClassDef)):
                names.insert(0, above.name)
            above = self._parents.get(above)
        return ".".join(names) or "module"

    def _class_of(self, node: ast.AST) -> str | None:
        above: ast.AST | None = node
        while above is not None and not isinstance(above, ast.ClassDef):
            above = self._parents.get(above)
        return above.name if above is not None else None


def _is_annotation(child: ast.AST, parent: ast.AST) -> bool:
    if isinstance(parent, (ast.arg, ast.AnnAssign)) and child is parent.annotation:
        return True
    if isinstance(parent, ast.Subscript) and ast.unparse(parent.value) == "Callable":
        return True
    if isinstance(parent, (ast.FunctionDef, ast.ClassDef)) and child in parent.decorator_list:
        return True
    return isinstance(parent, ast.FunctionDef) and child is parent.returns


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_not_ours(node: ast.AST) -> bool:
    """Bookkeeping of modules."""
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in _NOT_OURS


def _answers_scanners(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return all(map(_answers_scanners, [*node.body, *node.orelse]))
    if isinstance(node, ast.FunctionDef):
        return node.name == "_answer_scanners"
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        texts = [it.value for it in ast.walk(node) if isinstance(it, ast.Constant)]
        return any(isinstance(it, str) and _FINDING.fullmatch(it) for it in texts)
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    return ast.unparse(node.value.func).startswith(("acknowledge", "self._answer_scanners"))


def _keys_or_items(
    node: ast.List | ast.Set | ast.Tuple | ast.Dict,
) -> Sequence[ast.expr | None]:
    return node.keys if isinstance(node, ast.Dict) else node.elts


def _is_elsewhere(target: ast.expr) -> bool:
    """An attribute of another object, or an item of a dict: later lines do not need it."""
    if isinstance(target, ast.Attribute):
        return not (isinstance(target.value, ast.Name) and target.value.id == "self")
    return isinstance(target, ast.Subscript)
