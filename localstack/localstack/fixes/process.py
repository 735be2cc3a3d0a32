"""The engine as a process of one checkout: it listens on the loopback alone, writes into its own folder, ends at once."""

import functools
import os
import tempfile
from types import SimpleNamespace

import localstack.runtime.server.twisted as server
import localstack.services.s3.provider as s3
from localstack.runtime.runtime import LocalstackRuntime
from twisted.internet import endpoints

from fixes import functions


def install():
    # It binds every address of the machine, whatever GATEWAY_LISTEN says (its own TODO).
    loopback = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
    server.endpoints = SimpleNamespace(TCP4ServerEndpoint=loopback, TCP6ServerEndpoint=endpoints.TCP6ServerEndpoint)
    # A constant below /tmp, which every LocalStack of the machine would share; TMPDIR is the engine's own.
    s3.DEFAULT_S3_TMP_DIR = os.path.join(tempfile.gettempdir(), "s3")
    LocalstackRuntime.exit = end


def end(runtime, code=0):
    """Ends the functions and the engine. Its own way takes 7 to 9 s, and 15 minutes while a call hangs, to stop in good
    order what lies in memory and goes with it anyway."""
    functions.end_all()
    os._exit(code)
