"""A strict checker for the part of JSON Schema 2020-12 that docs/openapi.json uses. A keyword that
it does not know is an error, so that no rule of the document is passed over in silence."""

import re

KNOWN = {"$ref", "type", "enum", "required", "properties", "additionalProperties", "items",
         "oneOf", "pattern", "minimum", "maximum", "exclusiveMinimum", "maxItems",
         "minLength", "maxLength", "minProperties", "description", "default", "format"}

TYPES = {
    "null": lambda v: v is None,
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "string": lambda v: isinstance(v, str),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
}


class Checker:
    def __init__(self, document):
        self.document = document

    def resolve(self, node):
        """The node itself, or what its $ref points to."""
        while "$ref" in node:
            if len(node) != 1:
                raise ValueError(f"$ref beside other keywords: {node}")
            reference = node["$ref"]
            if not reference.startswith("#/"):
                raise ValueError(f"not a reference into this document: {reference}")
            node = self.document
            for part in reference[2:].split("/"):
                node = node[part.replace("~1", "/").replace("~0", "~")]
        return node

    def errors(self, value, schema, at="$"):
        """What is wrong, one line each; empty when the value is as the schema says."""
        schema = self.resolve(schema)
        unknown = set(schema) - KNOWN
        if unknown:
            raise ValueError(f"{at}: the checker does not know {sorted(unknown)}")
        if "oneOf" in schema:
            tries = [self.errors(value, option, at) for option in schema["oneOf"]]
            fitting = sum(not found for found in tries)
            if fitting != 1:
                return [f"{at}: fits {fitting} of oneOf, expected 1: {tries}"]
        found = []
        if "type" in schema:
            types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            if not any(TYPES[name](value) for name in types):
                return [f"{at}: {value!r} is no {' or '.join(types)}"]
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{at}: {value!r} is none of {schema['enum']}")
        if isinstance(value, str):
            found += self._text(value, schema, at)
        elif TYPES["number"](value):
            found += self._number(value, schema, at)
        elif isinstance(value, list):
            if len(value) > schema.get("maxItems", len(value)):
                found.append(f"{at}: {len(value)} items, at most {schema['maxItems']}")
            if "items" in schema:
                for i, item in enumerate(value):
                    found += self.errors(item, schema["items"], f"{at}[{i}]")
        elif isinstance(value, dict):
            found += self._object(value, schema, at)
        return found

    @staticmethod
    def _text(value, schema, at):
        found = []
        if "pattern" in schema and re.search(schema["pattern"], value) is None:
            found.append(f"{at}: {value!r} does not match {schema['pattern']}")
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            found.append(f"{at}: {len(value)} characters")
        return found

    @staticmethod
    def _number(value, schema, at):
        found = []
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            found.append(f"{at}: {value} is out of range")
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            found.append(f"{at}: {value} is not above {schema['exclusiveMinimum']}")
        return found

    def _object(self, value, schema, at):
        found = [f"{at}: no {name}" for name in schema.get("required", []) if name not in value]
        properties = schema.get("properties", {})
        rest = schema.get("additionalProperties", True)
        if len(value) < schema.get("minProperties", 0):
            found.append(f"{at}: {len(value)} members")
        for name, member in value.items():
            if name in properties:
                found += self.errors(member, properties[name], f"{at}.{name}")
            elif rest is False:
                found.append(f"{at}: {name} is not described")
            elif isinstance(rest, dict):
                found += self.errors(member, rest, f"{at}.{name}")
        return found
