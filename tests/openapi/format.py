"""Lays out the parts of the OpenAPI document: what fits into a line of 100 columns is one line.

    python3 tests/openapi/format.py            says which parts are not laid out so; exit 1 if any
    python3 tests/openapi/format.py --write    lays them out
"""

import json
import pathlib
import sys

PARTS = pathlib.Path(__file__).resolve().parents[2] / "web" / "openapi"
COLUMNS = 100


def lay_out(value, indent=0, used=0):
    """`used`: columns that stand before the value on its line, with what must follow it."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + used <= COLUMNS or not isinstance(value, (dict, list)) or not value:
        return line
    inner = "  " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: " for key in value]
        items = [key + lay_out(item, indent + 1, len(inner) + len(key) + 1)
                 for key, item in zip(items, value.values())]
        opening, closing = "{", "}"
    else:
        items = [lay_out(item, indent + 1, len(inner) + 1) for item in value]
        opening, closing = "[", "]"
    return (opening + "\n" + ",\n".join(inner + item for item in items) + "\n" + "  " * indent +
            closing)


def main(write):
    wrong = []
    for path in sorted(PARTS.glob("*.json")):
        text = path.read_text()
        better = lay_out(json.loads(text)) + "\n"
        if text != better:
            wrong.append(path.name)
            if write:
                path.write_text(better)
    if wrong and not write:
        print("not laid out by tests/openapi/format.py --write:", *wrong)
    return 1 if wrong and not write else 0


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv))
