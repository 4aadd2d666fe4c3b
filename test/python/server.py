"""The real Python server as it starts without uWSGI: `server.py CONFIG HOST PORT`.

From Python 3.11 on an f-string with a member of a text enumeration gives its name. The server builds the names of permissions
that way, and would answer 500 to every call that needs one; the old way of formatting is put back first.
"""

import enum
import sys


def formatted(self, spec):
    if self._member_type_ is not object and type(self).__str__ is enum.Enum.__str__:
        return self._member_type_.__format__(self._value_, spec)
    return str.__format__(str(self), spec)


enum.Enum.__format__ = formatted

from vantage6.server import run_dev_server, run_server  # noqa: E402

config, host, port = sys.argv[1:]
run_dev_server(run_server(config, system_folders=False), host, int(port))
