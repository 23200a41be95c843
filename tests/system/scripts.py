"""Script files for tests, as text, and how they get to the host."""

import pathlib

DRIVERS = pathlib.Path(__file__).parent / "drivers"


def write(host, kind, name, text):
    """As an editor does it: a new file, renamed over the old one."""
    path = host.folder / kind / f"{name}.lua"
    new = path.with_suffix(".tmp")
    new.write_text(text)
    new.rename(path)


def hooked(body, name="hooked_load", version="1", more=""):
    """The plain load with a hook that does `body` with (dev, values)."""
    text = (DRIVERS / "plain_load.lua").read_text()
    text = text.replace("plain_load", name).replace('version = "1"', f'version = "{version}"')
    end = text.rindex("}")
    return (text[:end] + f"  hooks = {{ values = function(dev, values) {body} end, }},\n"
            f"  {more}\n" + text[end:])
