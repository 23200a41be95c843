---@meta
-- What the hooks of a driver see. The table that a driver returns: drivers/README.md.

---The device that a hook works for.
---@class derd.dev
---@field key string its key in the site file
---@field part string name of the part, "" for a driver without parts
---@field parameters table<string, number> as set in the site file, or their defaults
---@field state table plain data of yours; it lasts, also over a reload of the file
---@field due table<string, true> in hooks.read: the points whose time has come
---@field modbus derd.modbus over tcp:// and rtu:// links

---Registers of the device itself. These functions wait: in hooks.read and hooks.write only. What
---the device refuses and what it does not answer is nil and a reason.
---@class derd.modbus
local modbus = {} -- luacheck: ignore

---@class derd.modbus_read
---@field address integer 0-based, as on the wire
---@field kind? "coil"|"discrete"|"holding"|"input" default holding
---@field count? integer words, default 1
---@field encoding? string as in `points`: then the value is returned, not its words
---@field wordOrder? "big"|"little"
---@field length? integer registers of a "string"

---@param what derd.modbus_read
---@return integer[]|number|string|nil
---@return string? reason
function modbus:read(what) end

---@class derd.modbus_write
---@field address integer
---@field kind? "coil"|"holding" default holding
---@field values? integer[] words
---@field encoding? string with `value` in place of `values`
---@field value? number
---@field wordOrder? "big"|"little"
---@field write? "single"|"multiple" default: single for one register

---@param what derd.modbus_write
---@return true?
---@return string? reason
function modbus:write(what) end

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
---@field raw? number in hooks.write: the same before scale and offset, a whole number where the
---encoding is one of integers

---@alias derd.values_hook fun(dev: derd.dev, values: derd.points): derd.changes?
---@alias derd.command_hook fun(dev: derd.dev, decision: derd.decision): derd.write[]?

---@alias derd.reading table<string, number|string|false> by names of points of kind "value"
---@alias derd.read_hook fun(dev: derd.dev): derd.reading?, string?
---@alias derd.write_hook fun(dev: derd.dev, writes: derd.write[]): true?, string?

---@class derd.hooks
---@field read? derd.read_hook gives points of kind "value"; may wait
---@field write? derd.write_hook carries out writes of points of kind "value"; may wait
---@field values? derd.values_hook after each poll, for each part
---@field command? derd.command_hook in place of the planned writes

---What hooks.values changes: a number, a state's name, or false for "unknown".
---@alias derd.changes table<string, number|derd.state|false>
