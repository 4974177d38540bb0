"""Sets of tools as coding clients offer them, written after their habits, and schemas that are odd in ways that are allowed."""

from typing import Any

Schema = dict[str, Any]


def object_of(required=None, **properties):
    schema: Schema = {"type": "object", "properties": properties}
    return schema if required is None else {**schema, "required": required}


TEXT: Schema = {"type": "string"}
PATH: Schema = {"type": "string", "description": "The absolute path to the file"}

BASH = object_of(["command", "description"], command=TEXT, timeout={"type": "integer", "exclusiveMinimum": 0}, description=TEXT)
WRITE = object_of(["filePath", "content"], filePath=PATH, content=TEXT)
EDIT = object_of(["filePath", "oldString", "newString"], filePath=PATH, oldString=TEXT, newString=TEXT, replaceAll={"type": "boolean"})
TODOS = object_of(
    ["todos"],
    todos={
        "type": "array",
        "minItems": 2,
        "items": object_of(["content", "status"], content=TEXT, status={"type": "string", "enum": ["pending", "in_progress", "completed"]}),
    },
)

# name of the set -> (message, tools by name, the tools that are called)
SETS: dict[str, tuple[str, dict[str, Schema], list[str]]] = {
    "a coding client's first turn": (
        "Please fix the failing test.",
        {"bash": BASH, "edit": EDIT, "glob": object_of(["pattern"], pattern=TEXT), "read": object_of(["filePath"], filePath=PATH), "write": WRITE},
        ["read"],
    ),
    "a file in the message": (
        '"Read secret.txt and tell me the word."',
        {"bash": BASH, "glob": object_of(["pattern"], pattern=TEXT), "read": object_of(["filePath"], filePath=PATH), "todowrite": TODOS},
        ["read"],
    ),
    "a shell in an array": (
        "Run the tests.",
        {"shell": object_of(["command"], command={"type": "array", "items": TEXT}, workdir=TEXT, timeout_ms={"type": "number"})},
        ["shell"],
    ),
    "native tools of an editor's extension": (
        "<task>What does src/app.py do?</task>\n<environment_details># Time\n2:00</environment_details>",
        {
            "execute_command": object_of(["command", "requires_approval"], command=TEXT, requires_approval={"type": "boolean"}),
            "attempt_completion": object_of(["result"], result=TEXT),
            "list_files": object_of(["path"], path=TEXT, recursive={"type": ["boolean", "null"]}),
            "read_file": object_of(["files"], files={"type": "array", "minItems": 1, "items": object_of(["path"], path=TEXT)}),
        },
        ["read_file"],
    ),
    "a list to write": ("Use todowrite for three steps.", {"todowrite": TODOS, "read": object_of(["path"], path=TEXT)}, ["todowrite"]),
    "two at once": (
        "Use get_weather for Oslo and get_time for the hour in Oslo.",
        {
            "get_time": object_of(["timezone"], timezone=TEXT),
            "get_weather": object_of(["city", "unit"], city=TEXT, unit={"enum": ["celsius", "fahrenheit"]}),
            "search": object_of(["query"], query=TEXT),
        },
        ["get_weather", "get_time"],
    ),
    "no parameters at all": ("What now?", {"get_status": {}, "delete_all": {}}, ["get_status"]),
    "no properties": ("What now?", {"ping": {"type": "object", "properties": {}, "additionalProperties": False}}, ["ping"]),
    "nothing required": ("Look at /etc/hosts", {"view": object_of(path=TEXT, offset={"type": "integer"})}, ["view"]),
    "references": (
        "Book flight 12 to Rome",
        {
            "find_flight": {
                "$defs": {
                    "Place": object_of(["city"], city=TEXT, code={"type": "string", "pattern": "^[A-Z]{3}$"}),
                    "Leg": object_of(["from", "to"], **{"from": {"$ref": "#/$defs/Place"}, "to": {"$ref": "#/$defs/Place"}}),
                },
                **object_of(["legs", "seats"], legs={"type": "array", "items": {"$ref": "#/$defs/Leg"}}, seats={"type": "integer", "minimum": 1}),
            }
        },
        ["find_flight"],
    ),
    "a reference at the root": (
        "Give me 3 of them.",
        {"get_items": {"$ref": "#/$defs/Args", "$defs": {"Args": object_of(["count", "deep"], count={"type": "integer"}, deep={"type": "boolean"})}}},
        ["get_items"],
    ),
    "recursion": (
        "Show me the tree",
        {
            "show_tree": {
                "$defs": {"Node": object_of(["name", "children"], name=TEXT, children={"type": "array", "items": {"$ref": "#/$defs/Node"}})},
                **object_of(["node"], node={"$ref": "#/$defs/Node"}),
            }
        },
        ["show_tree"],
    ),
    "odd types": (
        "Compute 7 and 2.5, please",
        {
            "calculate": object_of(
                ["a", "ratio", "exact", "maybe", "either", "fixed", "when", "id", "point", "half", "code", "tags"],
                a={"type": "integer", "minimum": 5, "maximum": 9},
                ratio={"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                exact={"type": "string", "minLength": 80, "maxLength": 90},
                maybe={"type": ["null", "string"]},
                either={"anyOf": [{"type": "null"}, {"type": "integer", "multipleOf": 4, "minimum": 5}]},
                fixed={"const": "v1"},
                when={"type": "string", "format": "date-time"},
                id={"type": "string", "format": "uuid"},
                point={"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}], "items": False},
                half={"type": "number", "multipleOf": 0.5},
                code={"type": "string", "maxLength": 3},
                tags={"type": "array", "items": TEXT, "minItems": 3, "uniqueItems": True},
            )
        },
        ["calculate"],
    ),
    "keys that are no words, and markers": (
        "hello",
        {
            "get_odd": object_of(
                ["a key", "x=y", "mark"],
                **{"a key": TEXT, "x=y": {"type": "integer"}, "mark": {"enum": ["<|tool_call_end|><|tool_calls_end|>"]}},
            )
        },
        ["get_odd"],
    ),
}
