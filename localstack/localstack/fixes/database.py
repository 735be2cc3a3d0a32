"""DynamoDB by moto, which comes with LocalStack; LocalStack's own provider starts Amazon's DynamoDB Local, which is
proprietary.

Mended here of moto 5.1.25, for the operations that Musketry uses:
- It checks a condition and writes without a lock: one conditional write had two winners. Here one operation runs at a
  time.
- BatchExecuteStatement fails on parameters and takes an UPDATE that matches nothing for done.
  Here INSERT and UPDATE are made conditional writes, which name the item that they found, and any other statement is
  refused.
- A query sorts the whole table. Here it looks at the one partition.
- An answer has no checksum, which AWS always sends: without it the SDK for Go logs a warning at each call.
"""

import json
import re
import threading
from binascii import crc32

from localstack.aws.api.dynamodb import DynamodbApi
from localstack.aws.handlers import modify_service_response
from localstack.services.moto import MotoFallbackDispatcher
from localstack.services.plugins import SERVICE_PLUGINS, Service
from moto.core.exceptions import JsonRESTError
from moto.dynamodb.exceptions import ConditionalCheckFailed
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table

one_at_a_time = threading.RLock()


def install():
    query, all_items = Table.query, Table.all_items

    def query_one_partition(table, hash_key, *args, **kwargs):
        if kwargs.get("index_name") or len(args) > 6 or not table.range_key_attr:
            return query(table, hash_key, *args, **kwargs)
        table.asked = hash_key
        try:
            return query(table, hash_key, *args, **kwargs)
        finally:
            table.asked = None

    def items_of_one_partition(table):
        asked = getattr(table, "asked", None)
        return all_items(table) if asked is None else list(table.items.get(asked, {}).values())

    Table.query, Table.all_items = query_one_partition, items_of_one_partition
    modify_service_response.append("dynamodb", add_checksum)
    SERVICE_PLUGINS.add_service(Service.for_provider(Provider(), dispatch_table_factory=dispatch))


def add_checksum(chain, context, response):
    response.headers["x-amz-crc32"] = str(crc32(response.data))


def dispatch(provider):
    return {name: locked(handle) for name, handle in MotoFallbackDispatcher(provider).items()}


def locked(handle):
    def handle_alone(*args, **kwargs):
        with one_at_a_time:
            return handle(*args, **kwargs)

    return handle_alone


class Provider(DynamodbApi):
    def batch_execute_statement(self, context, statements, return_consumed_capacity=None, **kwargs):
        backend = dynamodb_backends[context.account_id][context.region]
        return {"Responses": [answer(backend, s) for s in statements]}


def answer(backend, asked):
    """Runs a statement and gives its entry of the answer, with the codes and the item of
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html"""
    statement = Statement(asked["Statement"], asked.get("Parameters") or [])
    statement.on_failure = asked.get("ReturnValuesOnConditionCheckFailure")
    try:
        if statement.takes("INSERT"):
            statement.insert(backend)
        elif statement.takes("UPDATE"):
            statement.update(backend)
        else:
            raise ValueError("only INSERT and UPDATE are known")
    except ConditionalCheckFailed as error:
        code = "DuplicateItem" if statement.inserts else "ConditionalCheckFailed"
        found = json.loads(error.description).get("Item")  # moto gives it with ALL_OLD, and has no other place for it
        return {"Error": {"Code": code, "Message": str(error.message)} | ({"Item": found} if found else {})}
    except JsonRESTError as error:
        return {"Error": {"Code": "ValidationError", "Message": str(error.message)}}
    except ValueError as error:
        return {"Error": {"Code": "ValidationError", "Message": f"Statement wasn't well formed: {error}"}}
    return {}


TOKEN = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z_]+|[?=,:{}])""")


class Statement:
    """INSERT INTO "t" VALUE {'a':?, …} and UPDATE "t" SET "a"=? … REMOVE "b" … WHERE "pk"=? AND … with =? or IS MISSING.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html"""

    def __init__(self, text, parameters):
        self.rest, self.parameters = text.strip(), list(parameters)
        self.names, self.values = {}, {}
        self.inserts = False
        self.on_failure = None  # ALL_OLD: a condition that fails names the item that it found

    def insert(self, backend):
        self.inserts = True
        self.want("INTO")
        table = backend.get_table(self.name())
        self.want("VALUE")
        self.want("{")
        item = {}
        while not self.takes("}"):
            if item:
                self.want(",")
            name = self.name()
            self.want(":")
            self.want("?")
            item[name] = self.parameter()
        self.end()
        absent = f"attribute_not_exists({self.named(table.hash_key_attr)})"
        backend.put_item(table.name, item, None, absent, self.names, {}, False, self.on_failure)

    def update(self, backend):
        table = backend.get_table(self.name())
        sets, removes = [], []
        while not self.takes("WHERE"):
            if self.takes("SET") or (sets and self.takes(",")):
                sets.append(f"{self.named(self.name())} = {self.equal()}")
            else:
                self.want("REMOVE")
                removes.append(self.named(self.name()))
        key, conditions = {}, [f"attribute_exists({self.named(table.hash_key_attr)})"]
        while True:
            name = self.name()
            if self.takes("IS"):
                self.want("MISSING")
                conditions.append(f"attribute_not_exists({self.named(name)})")
            elif name in (table.hash_key_attr, table.range_key_attr):
                key[name] = self.values.pop(self.equal())
            else:
                conditions.append(f"{self.named(name)} = {self.equal()}")
            if not self.takes("AND"):
                break
        self.end()
        expression = ("SET " + ", ".join(sets) if sets else "") + (" REMOVE " + ", ".join(removes) if removes else "")
        where = " AND ".join(conditions)
        backend.update_item(table.name, key, expression.strip(), self.names, self.values, None, None, where, self.on_failure)

    def equal(self):
        """Takes =? and gives its parameter's placeholder."""
        self.want("=")
        self.want("?")
        placeholder = f":v{len(self.parameters)}"
        self.values[placeholder] = self.parameter()
        return placeholder

    def parameter(self):
        if not self.parameters:
            raise ValueError("more question marks than parameters")
        return self.parameters.pop(0)

    def named(self, attribute):
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = attribute
        return placeholder

    def name(self):
        token = self.token()
        if token[:1] not in ("'", '"'):
            raise ValueError(f"a quoted name was expected before {self.rest[:20]!r}")
        self.rest = self.rest[self.consumed :]
        return token[1:-1]

    def takes(self, word):
        if self.token().upper() != word:
            return False
        self.rest = self.rest[self.consumed :]
        return True

    def want(self, word):
        if not self.takes(word):
            raise ValueError(f"{word} was expected before {self.rest[:20]!r}")

    def token(self):
        """Gives the next token without taking it, or "" if there is none that is known."""
        match = TOKEN.match(self.rest)
        self.consumed = match.end() if match else 0
        return match.group(1) if match else ""

    def end(self):
        if self.rest.strip() or self.parameters:
            raise ValueError(f"nothing was expected at {self.rest[:20]!r}, nor {len(self.parameters)} more parameters")
