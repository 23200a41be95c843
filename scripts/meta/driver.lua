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
---@field http derd.http over http:// and https:// links
---@field udp derd.udp over udp:// links
---@field line derd.line over line:// links
---@field mqtt derd.mqtt over mqtt:// and mqtts:// links

---An answer, whatever its status.
---@class derd.http_answer
---@field status integer
---@field body string
---@field headers table<string, string> names in lower case
---@field json fun(self: derd.http_answer): any, string? the body decoded, or nil and why not

---@class derd.http_options
---@field headers? table<string, string>
---@field body? string
---@field json? any written as the body
---@field timeout? number s

---Requests to the device's address, or a whole URL that the site allows (`reach`). Nil and a reason
---when no answer came. These functions wait: in hooks.read and hooks.write only.
---@class derd.http
local http = {} -- luacheck: ignore

---@param path string
---@param options? derd.http_options
---@return derd.http_answer?
---@return string? reason
function http:get(path, options) end

---@param path string
---@param options? derd.http_options
---@return derd.http_answer?
---@return string? reason
function http:post(path, options) end

---@param path string
---@param options? derd.http_options
---@return derd.http_answer?
---@return string? reason
function http:put(path, options) end

---Datagrams. These functions wait.
---@class derd.udp
local udp = {} -- luacheck: ignore

---@param text string
---@param timeout? number s
---@return string? answer the next datagram
---@return string? reason
function udp:request(text, timeout) end

---@param text string
---@return true?
---@return string? reason
function udp:send(text) end

---@param timeout? number s
---@return string? datagram the oldest that came unasked, or the next one
---@return string? reason
function udp:receive(timeout) end

---Lines of text over TCP. These functions wait.
---@class derd.line
local line = {} -- luacheck: ignore

---@param text string without its end
---@param lines? integer of the answer, default 1
---@param timeout? number s
---@return string|string[]|true|nil
---@return string? reason
function line:request(text, lines, timeout) end

---@param timeout? number s
---@return string? line the oldest that came unasked, or the next one
---@return string? reason
function line:receive(timeout) end

---Topics stand behind the link's own, or have "{}" in its place.
---@class derd.mqtt
local mqtt = {} -- luacheck: ignore

---Does not wait.
---@param topic string
---@param maxAge? number s, default: as long as the device's values are trusted
---@return string? payload
---@return number|string age_or_reason
function mqtt:last(topic, maxAge) end

---@param filter string may have "+" and "#"
function mqtt:subscribe(filter) end

---@param topic string
---@param payload string
---@param options? { qos: integer?, retain: boolean? }
---@return true? the broker has it
---@return string? reason
function mqtt:publish(topic, payload, options) end

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

---Any other function code, over tcp:// links.
---@param code integer 1 to 127
---@param bytes string that follow it, at most 123
---@return string? bytes behind the code in the answer
---@return string? reason
function modbus:raw(code, bytes) end

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
---A number behind the values is their age in s.
---@alias derd.read_hook fun(dev: derd.dev): derd.reading?, string|number?
---@alias derd.write_hook fun(dev: derd.dev, writes: derd.write[]): true?, string?

---@class derd.hooks
---@field read? derd.read_hook gives points of kind "value"; may wait
---@field write? derd.write_hook carries out writes of points of kind "value"; may wait
---@field values? derd.values_hook after each poll, for each part
---@field command? derd.command_hook in place of the planned writes

---What hooks.values changes: a number, a state's name, or false for "unknown".
---@alias derd.changes table<string, number|derd.state|false>
