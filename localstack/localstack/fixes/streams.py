"""A function's answer on its way to a client while it is written: what the function's side and the gateway's share."""

import json
import queue
import threading

STREAM_TYPE = "application/vnd.awslambda.http-integration-response"
STREAM_ERROR = "Lambda-Runtime-Function-Error-Type"
DELIMITER = bytes(8)
HEAD_BYTES = 16 * 1024
PIECES = 16  # that wait for the client
WHOLE, BROKEN = object(), object()

opened = {}  # by the gateway's request id
opened_lock = threading.Lock()


class Stream:
    """Pieces of an answer, then WHOLE or BROKEN."""

    def __init__(self, request_id):
        self.request_id = request_id
        self.pieces = queue.Queue(maxsize=PIECES)
        self.abandoned = threading.Event()
        with opened_lock:
            opened[request_id] = self

    def put(self, piece):
        """Hands a piece over and waits for room. Nobody waits for a client that has gone."""
        while not self.abandoned.is_set():
            try:
                self.pieces.put(piece, timeout=0.2)
                return
            except queue.Full:
                pass

    def close(self):
        with opened_lock:
            opened.pop(self.request_id, None)

    def head(self):
        """Gives the answer's head and what came of its body with it, or None for an answer without a head."""
        got = b""
        while len(got) < HEAD_BYTES:
            piece = self.pieces.get()
            if piece is WHOLE or piece is BROKEN:
                return None
            got += piece
            head, found, rest = got.partition(DELIMITER)
            if found:
                return json.loads(head), rest
        return None

    def body(self, begin):
        """Gives the body as it comes. What breaks off raises, so that the gateway closes the connection without an
        end."""
        try:
            piece = begin
            while piece is not WHOLE:
                if piece is BROKEN:
                    raise ConnectionError("the function ended within its answer")
                if piece:
                    yield piece
                piece = self.pieces.get()
        finally:
            self.abandoned.set()


def asked_for(event):
    """Gives the stream that an invocation is to be answered by, or None."""
    if not opened:
        return None
    try:
        request_id = json.loads(event)["requestContext"]["requestId"]
    except (KeyError, TypeError, ValueError):
        return None
    with opened_lock:
        return opened.get(request_id)


def chunks(file):
    """Gives the chunks of a chunked body up to its last. Raises ConnectionError if it ends before that."""
    while size := int(file.readline().split(b";")[0].strip(), 16):
        piece = file.read(size)
        if len(piece) < size:
            raise ConnectionError("the function ended within its answer")
        yield piece
        file.readline()


def trailers(file):
    """Gives the fields behind a chunked body, with names in lower case."""
    fields = {}
    while line := file.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.lower()] = value.strip()
    return fields
