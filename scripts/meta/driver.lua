---@meta
-- What the hooks of a driver see. The table that a driver returns: drivers/README.md.

---The device that a hook works for.
---@class derd.dev
---@field key string its key in the site file
---@field part string name of the part, "" for a driver without parts
---@field parameters table<string, number> as set in the site file, or their defaults
---@field state table plain data of yours; it lasts, also over a reload of the file

---All decoded points of the machine by name: the vocabulary's and own ones (`values._raw`).
---@class derd.points: derd.values
---@field state? derd.state
---@field [string] any

---What is to be told to the device.
---@class derd.decision
---@field case "charge"|"discharge"|"hold"|"limit"|"release"
---@field setPoint? integer W, import is positive
---@field minActivePower integer W
---@field maxActivePower integer W
---@field writes derd.write[] what the driver's table would write

---@class derd.write
---@field point string name of a writable point
---@field value number in the point's unit

---@alias derd.values_hook fun(dev: derd.dev, values: derd.points): derd.changes?
---@alias derd.command_hook fun(dev: derd.dev, decision: derd.decision): derd.write[]?

---@class derd.hooks
---@field values? derd.values_hook after each poll, for each part
---@field command? derd.command_hook in place of the planned writes

---What hooks.values changes: a number, a state's name, or false for "unknown".
---@alias derd.changes table<string, number|derd.state|false>
