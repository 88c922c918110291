"""What pyproject.toml cannot say: the wheel holds the programs of the top level too.

train.py, eval.py, configs/ and datasets/see_tfds/ become data of the package, in
seen_jax/programs, where the command `seen` runs them: names such as `train` and
`datasets` would shadow other packages if they were installed beside it.
"""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


class BuildPy(build_py):
    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        own = ("seen_jax.programs", "setup")  # this file
        return [module for module in modules if module[:2] != own]


programs = {
    "seen_jax.programs": ".",  # train.py and eval.py
    "seen_jax.programs.configs": "configs",
    "seen_jax.programs.datasets.see_tfds": "datasets/see_tfds",
}
# An editable install runs them where they are, beside the package.
sources = find_packages(include=["seen_jax*"])

setup(
    cmdclass={"build_py": BuildPy},
    packages=sources + list(programs),
    package_dir=programs,
    package_data={
        "seen_jax": [
            str(path.relative_to("seen_jax"))
            for ending in ("c", "h", "md", "png", "html", "js", "css")
            for path in Path("seen_jax").rglob(f"*.{ending}")
        ],
        "seen_jax.programs.datasets.see_tfds": ["*.bib", "*.txt", "*.md"],
    },
    include_package_data=False,
)
