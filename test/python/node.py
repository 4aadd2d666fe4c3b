"""The real Python node as a process of the host, in place of `vnode-local`, which does not start as it is packaged.

Two things differ from what the packages do: the node never takes itself for a container (a `.dockerenv` file in the root folder
of a machine is enough for that), and the context of a node outside a container gets the attribute that the node reads.
"""

import sys

import vantage6.common.docker.addons as addons

addons.running_in_docker = lambda: False  # before the imports that copy it

from vantage6.cli.context.node import NodeContext  # noqa: E402

NodeContext.running_in_docker = False

from vantage6.node.cli.node import cli_node  # noqa: E402

sys.exit(cli_node())
