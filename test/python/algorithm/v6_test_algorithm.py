"""What our tests let a real Python algorithm do: plain functions behind vantage6's own wrapper and decorators."""

import json
import os
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas
from vantage6.algorithm.client import AlgorithmClient
from vantage6.algorithm.tools.decorators import RunMetaData, algorithm_client, data, metadata
from vantage6.algorithm.tools.util import get_env_var, info


def echo(*args, **kwargs):
    info("echo was called")
    return {"args": args, "kwargs": kwargs}


def fail():
    raise ValueError("broken on purpose")


def wait(seconds):
    info("waiting")
    time.sleep(seconds)
    return "awake"


@data(1)
def mean(frame: pandas.DataFrame, column):
    return {"mean": float(frame[column].mean()), "rows": len(frame)}


@metadata
def about(meta: RunMetaData):
    return {
        "task": meta.task_id,
        "node": meta.node_id,
        "collaboration": meta.collaboration_id,
        "organization": meta.organization_id,
        "token": os.path.basename(str(meta.token_file)),
        "labels": get_env_var("USER_REQUESTED_DATABASE_LABELS"),
    }


@algorithm_client
def central(client: AlgorithmClient, organizations, single=True, studies=True):
    """A sub-task for each organization, its results, and everything else that the client can read.

    `single`: read one result by its id, too, which the proxy of Python nodes cannot answer.
    `studies`: list them, too, which Python servers cannot answer.
    """
    child = client.task.create(
        input_={"method": "about"}, organizations=organizations, name="part", description="of a central one"
    )
    results = client.wait_for_results(child["id"], interval=0.2)
    runs = client.run.from_task(child["id"])
    return {
        "image": client.image,
        "results": results,
        "again": client.result.from_task(child["id"]),
        "one": client.result.get(runs[0]["id"]) if single else None,
        "run": client.run.get(runs[0]["id"])["status"],
        "task": client.task.get(child["id"])["status"],
        "organizations": sorted(o["id"] for o in client.organization.list()),
        "organization": client.organization.get(client.organization_id)["id"],
        "collaboration": client.collaboration.get()["id"],
        "studies": [s["name"] for s in client.study.list()] if studies else None,
    }


@algorithm_client
def study(client: AlgorithmClient):
    return {
        "id": client.study_id,
        "name": client.study.get(client.study_id)["name"],
        "organizations": sorted(o["id"] for o in client.organization.list()),
    }


@algorithm_client
def neighbours(client: AlgorithmClient, number):
    """Listens, waits until `number` addresses of other organizations are known, and reads the task of each over the VPN."""
    called = listen(client)
    siblings = until(lambda: client.vpn.get_sibling_addresses(), number)
    said = {str(a["organization_id"]): fetch(a) for a in siblings}
    # The others have to be answered as well, before this ends.
    until(lambda: called, number)
    return {
        "all": sorted(a["organization_id"] for a in client.vpn.get_addresses()),
        "own": [a["organization_id"] for a in client.vpn.get_own_address()],
        "siblings": sorted(a["organization_id"] for a in siblings),
        "labels": sorted({a["label"] for a in client.vpn.get_addresses(label="com")}),
        "children": client.vpn.get_child_addresses(),
        "parent": client.vpn.get_parent_address(),
        "said": said,
    }


@algorithm_client
def parent(client: AlgorithmClient, organizations):
    """Listens, has its children call it, and looks them up as they live."""
    listen(client)
    child = client.task.create(input_={"method": "child"}, organizations=organizations, name="child")
    children = until(lambda: client.vpn.get_child_addresses(), len(organizations))
    return {
        "children": sorted(a["organization_id"] for a in children),
        "with": len(client.vpn.get_addresses(include_children=True)),
        "results": client.wait_for_results(child["id"], interval=0.2),
    }


@algorithm_client
def child(client: AlgorithmClient):
    listen(client)
    addresses = until(lambda: client.vpn.get_parent_address(), 1)
    time.sleep(2)
    return {"parent": fetch(addresses[0])}


def listen(client):
    """A web server on 8888 that says whose it is; returns the list of calls that were answered."""
    called = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(client.organization_id).encode())
            self.wfile.flush()
            called.append(self.client_address)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("", 8888), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return called


def until(read, number, seconds=40):
    end = time.time() + seconds
    while True:
        found = read()
        if isinstance(found, list) and len(found) >= number:
            return found
        if time.time() > end:
            raise TimeoutError(f"{number} addresses wanted, last: {found}")
        time.sleep(0.3)


def fetch(address):
    with urllib.request.urlopen(f"http://{address['ip']}:{address['port']}/", timeout=10) as answer:
        return json.load(answer)
