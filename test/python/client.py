"""Real Python user clients, driven line by line.

A line on standard input is one JSON request, a line on standard output its answer:

  {"new": NAME, "host": URL, "port": NUMBER, "path": "/api"}   a UserClient under a name
  {"client": NAME, "call": "task.create", "args": [], "kwargs": {}}
  {"client": NAME, "token": TEXT}                              puts another access token in place of the client's own
  {"methods": true}                                            every public method of UserClient and its parts

Answers are {"value": …, "said": LOG} or {"error": {"type": …, "message": …}, "said": LOG}.
"""

import contextlib
import inspect
import io
import json
import sys

from vantage6.client import UserClient

PARTS = [
    "util", "collaboration", "node", "organization", "user", "role", "rule", "task", "run", "result", "study", "store",
    "algorithm",
]
OWN = [
    "authenticate", "setup_collaboration", "setup_encryption", "wait_for_results", "refresh_token",
    "check_if_blob_store_enabled",
]


def methods():
    client = UserClient("http://127.0.0.1", 1, log_level="error")
    found = list(OWN)
    for part in PARTS:
        for name, _ in inspect.getmembers(getattr(client, part), inspect.ismethod):
            if not name.startswith("_"):
                found.append(f"{part}.{name}")
    return found


def answer(clients, request):
    if "methods" in request:
        return methods()
    if "new" in request:
        clients[request["new"]] = UserClient(
            request["host"], request["port"], request["path"], log_level="info"
        )
        return None
    client = clients[request["client"]]
    if "token" in request:
        client._access_token = request["token"]
        return None
    target = client
    for name in request["call"].split("."):
        target = getattr(target, name)
    return target(*request.get("args", []), **request.get("kwargs", {}))


def main():
    replies = sys.stdout
    clients = {}
    for line in sys.stdin:
        said = io.StringIO()
        # The client logs to whatever standard output was when it was made, and draws its waiting there.
        with contextlib.redirect_stdout(Forward(said)):
            try:
                reply = {"value": answer(clients, json.loads(line))}
            except BaseException as error:
                reply = {"error": {"type": type(error).__name__, "message": str(error)}}
        reply["said"] = said.getvalue()
        replies.write(json.dumps(reply, default=str) + "\n")
        replies.flush()


class Forward(io.TextIOBase):
    """Standard output of the moment, also for log handlers that were made earlier."""

    current = None

    def __init__(self, target):
        Forward.current = target

    def write(self, text):
        return Forward.current.write(text)


main()
