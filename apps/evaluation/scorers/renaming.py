"""Programs in Python whose local variables have numbers for names: equal where nothing but those names differed."""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

_DEFINITIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Where a node has the name of a variable.
_NAME: Final[Mapping[type[ast.AST], str]] = {
    **dict.fromkeys(_DEFINITIONS, "name"),
    ast.Name: "id",
    ast.arg: "arg",
    ast.alias: "asname",
    ast.ExceptHandler: "name",
    ast.MatchAs: "name",
    ast.MatchStar: "name",
    ast.MatchMapping: "rest",
}


def renamed(tree: ast.Module) -> ast.Module:
    """The tree itself, changed. Arguments have no annotations any more.

    Attributes, what a class's body defines and what is global keep their names; so do arguments that the program gives
    by name to functions and classes of its own.
    """
    own = {node.name for node in ast.walk(tree) if isinstance(node, _DEFINITIONS)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    kept = {keyword.arg for call in calls if _called(call) in own for keyword in call.keywords if keyword.arg}
    _Renamer(kept).visit(tree)
    return tree


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


class _Scope(ast.NodeVisitor):
    """The names that a function's or a class's body binds, in the order in which they come."""

    def __init__(self, nodes: Sequence[ast.AST]) -> None:
        self.bound: dict[str, None] = {}
        self.fixed: set[str] = set()  # global, or a module's own name
        self.outer: set[str] = set()
        for node in nodes:
            self.visit(node)

    def visit(self, node: ast.AST) -> None:
        match node:
            case ast.Global():
                self.fixed.update(node.names)
            case ast.Nonlocal():
                self.outer.update(node.names)
            case ast.alias(asname=None):
                self.fixed.add(node.name.partition(".")[0])
            case ast.Name(ctx=ast.Load()):
                pass
            case _ if name := getattr(node, _NAME.get(type(node), ""), None):
                self.bound[name] = None
        if isinstance(node, _COMPREHENSIONS):  # what := binds in one is the function's
            self.bound |= {each.target.id: None for each in ast.walk(node) if isinstance(each, ast.NamedExpr)}
        elif not isinstance(node, (*_DEFINITIONS, ast.Lambda)):
            self.generic_visit(node)


class _Renamer(ast.NodeVisitor):
    """Each function, lambda and comprehension is a scope within those around it; no number is given twice."""

    def __init__(self, kept: set[str]) -> None:
        self._kept = kept
        self._given = 0
        self._names: ChainMap[str, str] = ChainMap()  # as they are here
        self._enclosing = self._names  # as a function that begins here sees them: without those of a class's body

    def visit(self, node: ast.AST) -> None:
        field = _NAME.get(type(node), "")
        if name := getattr(node, field, None):
            setattr(node, field, self._names.get(name, name))
        super().visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        node.annotation = None

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        node.names = [self._names.get(name, name) for name in node.names]

    visit_Nonlocal = visit_Global

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_all(node.decorator_list)
        if node.returns is not None:
            self.visit(node.returns)
        self._visit_function(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_function(node.args, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])
        scope = _Scope(node.body)
        own = {name: name for name in {*scope.bound, *scope.fixed} - scope.outer}
        with self._within(self._enclosing.new_child(own), self._enclosing):
            self._visit_all(node.body)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        first = node.generators[0]
        self.visit(first.iter)  # which is evaluated outside
        with self._local(_Scope([each.target for each in node.generators])):
            for each in node.generators:
                self._visit_all([each.target, *each.ifs] if each is first else [each.iter, each.target, *each.ifs])
            self._visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp

    def _visit_function(self, arguments: ast.arguments, body: Sequence[ast.AST]) -> None:
        self._visit_all([default for default in (*arguments.defaults, *arguments.kw_defaults) if default is not None])
        inside = [*(node for node in ast.iter_child_nodes(arguments) if isinstance(node, ast.arg)), *body]
        with self._local(_Scope(inside)):
            self._visit_all(inside)

    def _visit_all(self, nodes: Sequence[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    @contextmanager
    def _local(self, scope: _Scope) -> Iterator[None]:
        own = {name: name for name in scope.fixed}
        for name in scope.bound:
            if name in self._kept:
                own[name] = name
            elif name not in own and name not in scope.outer:
                own[name] = f"<{self._given}>"  # which no variable can be called
                self._given += 1
        names = self._enclosing.new_child(own)
        with self._within(names, names):
            yield

    @contextmanager
    def _within(self, names: ChainMap[str, str], enclosing: ChainMap[str, str]) -> Iterator[None]:
        before = self._names, self._enclosing
        self._names, self._enclosing = names, enclosing
        try:
            yield
        finally:
            self._names, self._enclosing = before
