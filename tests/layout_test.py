"""The design, held by checks: imports point one way, files stay small."""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).parents[1] / "ddjax"
FILES = sorted(PACKAGE.rglob("*.py"))
# A module may import from its own level's package and from lower levels only.
LEVELS = [
    {
        "errors",
        "keys",
        "memory",
        "artifacts",
        "declare",
        "mesh",
        "observe",
        "process",
        "regular",
        "torch_files",
        "workdir",
    },
    {"models", "losses", "data"},
    {"train", "scores"},
    {"select", "labels", "distill"},
    {"settings"},
    {"protocols"},
    {"presets", "report"},
    {"problem"},
    {"run"},
    {"stages"},
    {"pipeline"},
    {"plan"},
    {"cli"},
    {"main"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def part(path):
    """The top-level module or package of a file, such as `train`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(names):
    """The parts of ddjax among imported names."""
    split = (name.split(".") for name in names)
    return {parts[1] for parts in split if parts[0] == "ddjax" and len(parts) > 1}


def test_imports_point_one_way():
    wrong = []
    for path in FILES:
        here = part(path)
        if here == "__init__":  # which names its subpackages for type checkers alone
            continue
        for name in own(imports(path)):
            allowed = name == here or LEVEL[name] < LEVEL[here] or LEVEL[name] == 0
            if not allowed:
                wrong.append(f"{path.name} ({here}) imports ddjax.{name}")
    assert not wrong


def test_linen_is_imported_only_under_models():
    users = {
        part(path)
        for path in FILES
        if any(name.startswith("flax") for name in imports(path))
    }
    assert users == {"models"}


def test_jax_is_configured_only_where_a_process_starts():
    users = {part(path) for path in FILES if "jax.config.update" in path.read_text()}
    assert users == {"main", "process"}


def test_every_folder_is_a_package():
    # What lacks an __init__.py stays out of the wheel, and only the checkout hides it.
    for folder in {path.parent for path in FILES}:
        assert (folder / "__init__.py").is_file(), folder


def test_the_top_level_has_few_files():
    files = [path.name for path in PACKAGE.glob("*.py")]
    assert len(files) <= 15, files
