"""Prints the files of packages and of all that they need, one absolute path a line; the arguments are names of packages.

What goes into an algorithm's image is taken out of the environment that the tests have anyway.
"""

import importlib.metadata
import re
import sys


def closure(names):
    seen = {}
    queue = list(names)
    while queue:
        name = re.sub(r"[-_.]+", "-", queue.pop()).lower()
        if name in seen:
            continue
        seen[name] = importlib.metadata.distribution(name)
        for requirement in seen[name].requires or []:
            if "extra ==" in requirement:
                continue
            wanted = re.match(r"[A-Za-z0-9._-]+", requirement).group()
            try:
                importlib.metadata.distribution(wanted)
            except importlib.metadata.PackageNotFoundError:
                continue  # for another platform
            queue.append(wanted)
    return seen.values()


for distribution in closure(sys.argv[1:]):
    for file in distribution.files:
        where = file.locate()
        if ".." not in file.parts and "tests" not in file.parts and file.suffix != ".pyc" and where.exists():
            print(where)
